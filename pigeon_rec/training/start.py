"""Initial weights of a recipe from a finished model."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.training.adopt import PARTS, finished_parts
from pigeon_rec.training.recipe import Recipe

__all__ = ["copy_text_tokenizer", "start_from"]

_TEXT_TOKENIZER = "tokenizer.json"


def start_from(recipe: Recipe, name: str, model: str | Path) -> None:
    """Initialises a recipe, before its first step, with the weights of a bundled or saved model.

    Raises:
        TrainingError: The recipe cannot start from a model, or its sizes differ.
        ModelError: The model does not exist.
    """
    if name not in PARTS:
        raise TrainingError(
            f"the recipe {name!r} cannot start from a model",
            location=str(model),
            remedy=f"Omit --start; recipes that can: {', '.join(PARTS)}",
        )
    try:
        recipe.start_from(finished_parts(model)[name].state_dict())
    except RuntimeError as error:
        raise TrainingError(
            f"the model's weights do not fit the recipe {name!r}: {shorten(str(error), 300)}",
            location=str(model),
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
