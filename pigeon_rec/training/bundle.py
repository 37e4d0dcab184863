"""Puts the trained parts of a training folder together as one model folder."""

from __future__ import annotations

from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import nn

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.frozen import load_part
from pigeon_rec.training.recipes import TrainingPlan
from pigeon_rec.training.reconstruct import add_lora

__all__ = ["bundle"]


def bundle(plan: TrainingPlan, folder: Path, destination: Path) -> Path:
    """Writes `destination` in half precision: the pipeline's parts, and the scorer beside them.

    Stage 1's adapters are merged into the language model; without a stage 1 in `folder` the
    language model is taken as it is.

    Raises:
        TrainingError: A recipe has not been trained in `folder`.
    """
    text = TextTokenizer.load(folder / "tokenizer.json")
    pipeline = PigeonPipeline.from_config(plan.model, text)
    load_part(pipeline.tokenizer, folder, "tokenizer", "tokenizer.")
    load_part(pipeline.decoder, folder, "tokenizer", "decoder.")
    load_part(pipeline.generator, folder, "renderer")
    if (folder / "reconstruct" / "model.safetensors").is_file():
        add_lora(pipeline.personalisation.language_model)
        load_part(pipeline.personalisation, folder, "reconstruct")
        _merge_lora(pipeline.personalisation.language_model)
    else:
        load_part(pipeline.personalisation, folder, "language-model")
    pipeline.save_pretrained(destination)
    _save_scorer(plan, folder, destination / "scorer")
    return destination


def _merge_lora(module: nn.Module) -> None:
    """Adds every adapter to the weights it belongs to and puts the plain layer back."""
    layers = {n: m for n, m in module.named_modules() if isinstance(m, LoraLayer)}
    for name, layer in layers.items():
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, layer.get_base_layer())


def _save_scorer(plan: TrainingPlan, folder: Path, destination: Path) -> None:
    path = folder / "scorer" / "model.safetensors"
    if not path.is_file():
        raise TrainingError(
            "the scorer has not been trained",
            where=str(path),
            remedy="Train it first: pigeon-rec train scorer",
        )
    destination.mkdir(parents=True, exist_ok=True)
    weights = {name: value.to(torch.float16) for name, value in load_file(path).items()}
    save_file(weights, destination / "model.safetensors")
    (destination / "config.json").write_text(plan.scorer.model_dump_json(indent=2) + "\n", "utf-8")
