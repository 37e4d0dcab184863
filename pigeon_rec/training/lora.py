"""LoRA adapters of the language model, trained by both stages (arXiv 2106.09685)."""

from __future__ import annotations

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

__all__ = ["add_lora", "merge_lora", "train_lora_only"]


def add_lora(language_model: nn.Module) -> nn.Module:
    """Adds LoRA to query and value projections in place: rank 8, alpha 16, dropout 0.05."""
    config = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "v_proj"])
    return inject_adapter_in_model(config, language_model)


def train_lora_only(module: nn.Module) -> None:
    """Freezes everything but the LoRA adapters."""
    for name, weight in module.named_parameters():
        weight.requires_grad_("lora_" in name)


def merge_lora(module: nn.Module) -> None:
    """Merges every adapter into its base layer and removes the wrapper."""
    layers = {n: m for n, m in module.named_modules() if isinstance(m, LoraLayer)}
    for name, layer in layers.items():
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, layer.get_base_layer())
