"""The adapters that both alignment stages train on the language model."""

from __future__ import annotations

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

__all__ = ["add_lora", "merge_lora", "train_lora_only"]


def add_lora(language_model: nn.Module) -> nn.Module:
    """Adds the paper's adapters in place: rank 8, alpha 16, dropout 0.05, queries and values."""
    config = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "v_proj"])
    return inject_adapter_in_model(config, language_model)


def train_lora_only(module: nn.Module) -> None:
    """Freezes everything but the adapters."""
    for name, weight in module.named_parameters():
        weight.requires_grad_("lora_" in name)


def merge_lora(module: nn.Module) -> None:
    """Adds every adapter to the weights it belongs to and puts the plain layer back."""
    layers = {n: m for n, m in module.named_modules() if isinstance(m, LoraLayer)}
    for name, layer in layers.items():
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, layer.get_base_layer())
