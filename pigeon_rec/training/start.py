"""Initial weights of a recipe from a finished model."""

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

__all__ = ["MODEL_FILES", "copy_text_tokenizer", "start_from"]

MODEL_FILES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "tokenizer": {
            "tokenizer.": "visual_tokenizer.safetensors",
            "decoder.": "tokenizer_decoder.safetensors",
        },
        "autoencoder": {"": "image_generator.safetensors:codec."},
        "renderer": {"": "image_generator.safetensors"},
        "language-model": {"": "personalisation.safetensors"},
        "scorer": {"": "scorer/model.safetensors"},
    }
)
"""Recipes that can start from a model -> prefix of the weights' names -> file of the model.

A prefix behind a colon selects weights of the file, whose names then lose it.
"""

_TEXT_TOKENIZER = "tokenizer.json"


def start_from(recipe: Recipe, name: str, model: str | Path) -> None:
    """Initialises a recipe, before its first step, with the weights of a bundled or saved model.

    Raises:
        TrainingError: The recipe cannot start from a model, or its sizes differ.
        ModelError: The model does not exist.
    """
    if name not in MODEL_FILES:
        raise TrainingError(
            f"the recipe {name!r} cannot start from a model",
            location=str(model),
            remedy=f"Omit --start; recipes that can: {', '.join(MODEL_FILES)}",
        )
    folder = model_folder(model)
    try:
        recipe.start_from(_weights(folder, MODEL_FILES[name]))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"the model's weights do not fit the recipe {name!r}: {shorten(str(error), 300)}",
            location=str(folder),
            remedy="Use a training configuration with the model's sizes, or omit --start",
        ) from error


def copy_text_tokenizer(folder: Path, model: str | Path) -> None:
    """Copies the model's text tokenizer to a training folder that has none.

    The weights of the model depend on its text ids.

    Raises:
        ModelError: The model does not exist.
    """
    path = folder / _TEXT_TOKENIZER
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        TextTokenizer.load(model_folder(model) / _TEXT_TOKENIZER).save(path)


def _weights(folder: Path, files: Mapping[str, str]) -> dict[str, Tensor]:
    weights = {}
    for prefix, source in files.items():
        file, _, part = source.partition(":")
        for key, value in load_file(folder / file).items():
            if key.startswith(part):
                value = value.float() if value.is_floating_point() else value
                weights[prefix + key.removeprefix(part)] = value
    return weights
