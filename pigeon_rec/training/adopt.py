"""Copies parts of a finished model into a training folder, for the recipes that need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from safetensors.torch import save_file
from torch import nn

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.scoring.scorer import load_scorer
from pigeon_rec.training.configuration import TrainingConfig

__all__ = ["PARTS", "adopt", "finished_parts"]

PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tokenizer": ("tokenizer", "decoder"),
        "autoencoder": ("autoencoder",),
        "scorer": ("scorer",),
        "renderer": ("autoencoder", "renderer"),
        "language-model": ("mask_generator", "adapter", "language_model"),
    }
)
"""Recipes whose weights a finished model holds -> sections of the configuration that must match."""


def adopt(
    model: str | Path, config: TrainingConfig, folder: Path, recipes: Iterable[str] = tuple(PARTS)
) -> list[Path]:
    """Writes parts of a finished model in float32, as if their recipes had been trained.

    The inverse of `pigeon_rec.training.bundle.bundle`: bundling all parts again without further
    training gives the same files. Returns the paths of the weights.

    Args:
        model: Name of a bundled model, or the folder of a saved one.
        config: Training configuration whose sizes the model must have.
        folder: Training folder; gets the model's text tokenizer too.
        recipes: The parts to copy, by the recipe that trains them.

    Raises:
        ModelError: A file of the model is missing or damaged.
        TrainingError: A finished model holds no weights of a recipe, the recipe has been trained
            in `folder`, or the model has other sizes than `config`.
    """
    chosen = list(dict.fromkeys(recipes))
    for name in chosen:
        _check_free(name, folder)
    pipeline, scorer = PigeonPipeline.from_pretrained(model), load_scorer(model).module
    wanted = {**config.model.model_dump(), "scorer": config.scorer.model_dump()}
    found = {**pipeline.config.model_dump(), "scorer": scorer.config.model_dump()}
    _check_sizes(wanted, found, [size for name in chosen for size in PARTS[name]], model)
    modules = _parts(pipeline, scorer)
    folder.mkdir(parents=True, exist_ok=True)
    pipeline.text.save(folder / "tokenizer.json")
    return [_save(modules[name], folder / name) for name in chosen]


def finished_parts(model: str | Path) -> dict[str, nn.Module]:
    """The trained module of each recipe in `PARTS`, from a finished model, in float32.

    Raises:
        ModelError: A file of the model is missing or damaged.
    """
    return _parts(PigeonPipeline.from_pretrained(model), load_scorer(model).module)


def _parts(pipeline: PigeonPipeline, scorer: nn.Module) -> dict[str, nn.Module]:
    return {
        "tokenizer": nn.ModuleDict({"tokenizer": pipeline.tokenizer, "decoder": pipeline.decoder}),
        "autoencoder": pipeline.generator.codec,
        "scorer": scorer,
        "renderer": pipeline.generator,
        "language-model": pipeline.personalisation,
    }


def _check_free(name: str, folder: Path) -> None:
    if name not in PARTS:
        raise TrainingError(
            f"a finished model holds no weights of the recipe {name!r}",
            location=str(folder),
            remedy=f"Recipes to choose from: {', '.join(PARTS)}",
        )
    if (folder / name / "checkpoint").exists():
        raise TrainingError(
            f"the recipe {name!r} has already been trained here",
            location=str(folder / name),
            remedy="Choose another folder, or remove that one",
        )


def _check_sizes(
    wanted: Mapping[str, object],
    found: Mapping[str, object],
    sizes: Iterable[str],
    model: str | Path,
) -> None:
    differing = sorted({name for name in sizes if wanted[name] != found[name]})
    if differing:
        raise TrainingError(
            f"the model differs from the training configuration in {', '.join(differing)}",
            location=str(model),
            remedy="Start from a model of the configured sizes, or train from `scratch`",
        )


def _save(module: nn.Module, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    # Cloned: tied weights share memory, which safetensors refuses.
    whole = {
        name: (value.float() if value.is_floating_point() else value).contiguous().clone()
        for name, value in module.state_dict().items()
    }
    path = folder / "model.safetensors"
    save_file(whole, path)
    return path
