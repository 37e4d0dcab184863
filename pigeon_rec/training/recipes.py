"""All recipes by name, and how one is run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from pigeon_rec.data.dataset import Dataset
from pigeon_rec.errors import TrainingError
from pigeon_rec.training.align import AlignRecipe
from pigeon_rec.training.artwork import TrainingArtwork, load_artwork
from pigeon_rec.training.autoencoder import AutoencoderRecipe
from pigeon_rec.training.configuration import TrainingConfig, load_training_config
from pigeon_rec.training.data import folder_data
from pigeon_rec.training.devices import new_accelerator
from pigeon_rec.training.distil import DistilRecipe
from pigeon_rec.training.language_model import LanguageModelRecipe
from pigeon_rec.training.loop import train
from pigeon_rec.training.recipe import Recipe
from pigeon_rec.training.reconstruct import ReconstructRecipe
from pigeon_rec.training.renderer import RendererRecipe
from pigeon_rec.training.scorer import ScorerRecipe
from pigeon_rec.training.start import copy_text_tokenizer, start_from
from pigeon_rec.training.text import text_tokenizer
from pigeon_rec.training.tokenizer import TokenizerRecipe
from pigeon_rec.training.tracking import check_trackers
from pigeon_rec.training.windows import concepts_of

__all__ = [
    "OPTIONAL",
    "RECIPES",
    "TrainingConfig",
    "load_training_config",
    "run_recipe",
    "training_artwork",
]


_LOG = logging.getLogger(__name__)


def training_artwork(config: TrainingConfig, data: Dataset) -> TrainingArtwork:
    """The artwork that a configuration trains on.

    Raises:
        TrainingError: No picture is usable.
    """
    concepts = None if config.users is None else concepts_of(data, config.users)
    return load_artwork(data, config.model.tokenizer.image_size, concepts, most=config.items)


RECIPES: dict[str, Callable[[TrainingConfig, TrainingArtwork, Path], Recipe]] = {
    "tokenizer": lambda config, artwork, _: TokenizerRecipe(config.model, artwork),
    "autoencoder": lambda config, artwork, _: AutoencoderRecipe(config.model, artwork),
    "scorer": lambda config, artwork, folder: ScorerRecipe(
        config.scorer, artwork, text_tokenizer(folder, artwork, config), config.style
    ),
    "renderer": lambda config, artwork, folder: RendererRecipe(config.model, artwork, folder),
    "distil": lambda config, artwork, folder: DistilRecipe(config.model, artwork, folder),
    "language-model": lambda config, artwork, folder: LanguageModelRecipe(
        config.model, artwork, text_tokenizer(folder, artwork, config), folder
    ),
    "reconstruct": lambda config, artwork, folder: ReconstructRecipe(
        config.model, artwork, text_tokenizer(folder, artwork, config), folder
    ),
    "align": lambda config, artwork, folder: AlignRecipe(
        config.model, config.align, artwork.data, folder
    ),
}
"""In the order they run: the renderer needs tokenizer and autoencoder, distil the renderer,
reconstruct the language model, and align the preference pairs that `pairs.make_pairs` makes with
reconstruct's model."""

OPTIONAL = ("distil",)
"""Recipes that `train all` leaves out: a model is whole without them."""


def run_recipe(
    name: str,
    config: TrainingConfig,
    folder: Path,
    *,
    start: str | Path | None = None,
    artwork: TrainingArtwork | None = None,
    show_progress: bool = False,
) -> Path:
    """Trains one recipe in `folder/<name>`; returns the path of its weights.

    A resumed run continues from its own checkpoint.

    Args:
        name: The recipe.
        config: Its sizes and its loop.
        folder: Training folder.
        start: Name or folder of a model to initialise the weights from, instead of random ones.
        artwork: What to train on, if it has been loaded; that of the folder's data by default.
        show_progress: Whether to show a bar.

    Raises:
        ModelError: The model to start from does not exist.
        TrainingError: `config` has no loop for the recipe, the weights of an earlier recipe are
            missing, the model to start from has other sizes, or a tracker is not installed.
    """
    if name not in RECIPES or name not in config.loops:
        raise TrainingError(
            f"there is no recipe {name!r} in this training configuration",
            location=str(folder),
            remedy=f"Recipes with a loop: {', '.join(n for n in RECIPES if n in config.loops)}",
        )
    check_trackers(config.trackers)  # before anything takes time
    loop = config.loops[name]
    # The first process learns the text tokenizer; the others read it.
    with new_accelerator().main_process_first():
        if start is not None:
            copy_text_tokenizer(folder, start)
        torch.manual_seed(loop.seed)  # for the initial weights
        artwork = artwork or training_artwork(config, folder_data(folder))
        recipe = RECIPES[name](config, artwork, folder)
        if start is not None:
            start_from(recipe, name, start)
    if loop.validate_every and not recipe.validates:
        # Of a small catalogue nothing is left over; the last weights are as good as any.
        _LOG.warning("%s: there is nothing to validate on, so the last weights are kept", name)
        loop = loop.model_copy(update={"validate_every": 0})
    return train(recipe, loop, folder / name, trackers=config.trackers, show_progress=show_progress)
