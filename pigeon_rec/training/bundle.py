"""Assembles the trained recipes of a training folder into one model folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.card import CardFacts, write_card
from pigeon_rec.model.parts import untrained_parts
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.placement import Placement
from pigeon_rec.training.align import belongs_to_stage_one
from pigeon_rec.training.configuration import TrainingConfig
from pigeon_rec.training.data import HELD_OUT, started_from, trained_on
from pigeon_rec.training.frozen import load_part
from pigeon_rec.training.lora import add_lora, merge_lora

__all__ = ["assemble", "bundle", "newest_stage"]

_STAGES = ("align", "reconstruct")
"""Recipes that train LoRA adapters, the last one first."""


def newest_stage(folder: Path) -> str:
    """The last finished recipe in `folder` that trains the language model."""
    done = (name for name in _STAGES if (folder / name / "model.safetensors").is_file())
    return next(done, "language-model")


def newest_renderer(folder: Path) -> str:
    """`distil` if that recipe is finished in `folder`, else `renderer`."""
    return "distil" if (folder / "distil" / "model.safetensors").is_file() else "renderer"


def bundle(config: TrainingConfig, folder: Path, destination: Path) -> Path:
    """Writes the pipeline and its scorer to `destination` in half precision.

    The LoRA adapters of the last finished stage are merged into the language model. The list of
    what was held out goes with the weights, so that an evaluation knows it; the card says what the
    model was trained on.

    Raises:
        TrainingError: A recipe has not been trained in `folder`, or stage 2 was trained from
            another stage 1.
    """
    stage = newest_stage(folder)
    if stage == "align" and not belongs_to_stage_one(folder):
        raise TrainingError(
            "stage 2 was trained from another stage 1 than the one beside it",
            location=str(folder / "align"),
            remedy="Train stage 2 again (pigeon-rec train pairs, then align), or remove its folder",
        )
    pipeline = assemble(config, folder, stage)
    pipeline.save_pretrained(destination)
    _save_scorer(config, folder, destination / "scorer")
    if (folder / HELD_OUT).is_file():
        shutil.copyfile(folder / HELD_OUT, destination / HELD_OUT)
    lines = (*trained_on(folder), f"Last training step: {stage}")
    facts = CardFacts(trained_on=lines, base_model=started_from(folder))
    write_card(destination, facts)
    return destination


def assemble(
    config: TrainingConfig, folder: Path, stage: str, placement: Placement | None = None
) -> PigeonPipeline:
    """Builds the float32 pipeline of a training folder, LoRA adapters merged.

    `stage` is the recipe of the language model: `language-model`, `reconstruct` or `align`.
    `placement` is the device; the CPU by default.

    Raises:
        TrainingError: A recipe has not been trained in `folder`.
    """
    text = TextTokenizer.load(folder / "tokenizer.json")
    parts = untrained_parts(config.model)
    pipeline = PigeonPipeline(config.model, parts, text, placement=placement)
    load_part(pipeline.tokenizer, folder, "tokenizer", "tokenizer.")
    load_part(pipeline.decoder, folder, "tokenizer", "decoder.")
    load_part(pipeline.generator, folder, newest_renderer(folder))
    language_model = pipeline.personalisation.language_model
    if stage in _STAGES:
        add_lora(language_model)
    load_part(pipeline.personalisation, folder, stage)
    merge_lora(language_model)
    for part in pipeline.parts().values():
        part.eval().to(pipeline.device)
    return pipeline


def _save_scorer(config: TrainingConfig, folder: Path, destination: Path) -> None:
    path = folder / "scorer" / "model.safetensors"
    if not path.is_file():
        raise TrainingError(
            "the scorer has not been trained",
            location=str(path),
            remedy="Train it first: pigeon-rec train scorer",
        )
    destination.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in load_file(path).items()
    }
    save_file(weights, destination / "model.safetensors")
    (destination / "config.json").write_text(
        config.scorer.model_dump_json(indent=2) + "\n", "utf-8"
    )
