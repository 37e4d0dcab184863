"""First weights of a recipe out of a finished model, so that training goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.recipe import Recipe

__all__ = ["STARTED", "adopt_words", "start_from"]

STARTED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "tokenizer": {
            "tokenizer.": "visual_tokenizer.safetensors",
            "decoder.": "tokenizer_decoder.safetensors",
        },
        "renderer": {"": "image_generator.safetensors"},
        "language-model": {"": "personalisation.safetensors"},
        "scorer": {"": "scorer/model.safetensors"},
    }
)
"""The recipes that can go on from a model: its files, and what their names are prefixed with."""

_WORDS = "tokenizer.json"


def start_from(recipe: Recipe, name: str, model: str | Path) -> None:
    """Gives a recipe that has not learned yet the weights of a finished model.

    Args:
        recipe: Of the model's sizes.
        name: The recipe's name.
        model: Name of a bundled model, or the folder of a saved one.

    Raises:
        TrainingError: The recipe cannot go on from a model, or its sizes differ.
        ModelError: There is no such model.
    """
    if name not in STARTED:
        raise TrainingError(
            f"the recipe {name!r} cannot start from a model",
            location=str(model),
            remedy=f"Leave --start out; recipes that can: {', '.join(STARTED)}",
        )
    folder = model_folder(model)
    try:
        recipe.start_from(_weights(folder, STARTED[name]))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"the model's weights do not fit the recipe {name!r}: {shorten(str(error), 300)}",
            location=str(folder),
            remedy="Give a plan of the model's sizes, or leave --start out",
        ) from error


def adopt_words(folder: Path, model: str | Path) -> None:
    """Copies the model's text tokenizer to a training folder that has none of its own yet.

    The ids of words belong to the weights.

    Raises:
        ModelError: There is no such model.
    """
    path = folder / _WORDS
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        TextTokenizer.load(model_folder(model) / _WORDS).save(path)


def _weights(folder: Path, files: Mapping[str, str]) -> dict[str, Tensor]:
    return {
        prefix + key: value.float() if value.is_floating_point() else value
        for prefix, file in files.items()
        for key, value in load_file(folder / file).items()
    }
