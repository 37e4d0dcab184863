"""The recipes of a model by name, and the folder each leaves its weights in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from pigeon_rec.errors import TrainingError
from pigeon_rec.training.artwork import TrainingArtwork, load_stickers
from pigeon_rec.training.configuration import TrainingConfig, load_training_config
from pigeon_rec.training.devices import new_accelerator
from pigeon_rec.training.loop import train
from pigeon_rec.training.recipe import Recipe
from pigeon_rec.training.start import adopt_words, start_from
from pigeon_rec.training.windows import concepts_of

__all__ = ["RECIPES", "TrainingConfig", "load_training_config", "run_recipe", "training_artwork"]


def training_artwork(plan: TrainingConfig) -> TrainingArtwork:
    """The artwork that a plan trains on."""
    return load_stickers(None if plan.users is None else concepts_of(plan.users))


def _tokenizer(plan: TrainingConfig, stickers: TrainingArtwork, _folder: Path) -> Recipe:
    from pigeon_rec.training.tokenizer import TokenizerRecipe

    return TokenizerRecipe(plan.model, stickers)


def _autoencoder(plan: TrainingConfig, stickers: TrainingArtwork, _folder: Path) -> Recipe:
    from pigeon_rec.training.autoencoder import AutoencoderRecipe

    return AutoencoderRecipe(plan.model, stickers)


def _scorer(plan: TrainingConfig, stickers: TrainingArtwork, folder: Path) -> Recipe:
    from pigeon_rec.training.scorer import ScorerRecipe
    from pigeon_rec.training.text import text_tokenizer

    return ScorerRecipe(plan.scorer, stickers, text_tokenizer(folder, stickers, plan))


def _renderer(plan: TrainingConfig, stickers: TrainingArtwork, folder: Path) -> Recipe:
    from pigeon_rec.training.renderer import RendererRecipe

    return RendererRecipe(plan.model, stickers, folder)


def _language_model(plan: TrainingConfig, stickers: TrainingArtwork, folder: Path) -> Recipe:
    from pigeon_rec.training.language_model import LanguageModelRecipe
    from pigeon_rec.training.text import text_tokenizer

    return LanguageModelRecipe(plan.model, stickers, text_tokenizer(folder, stickers, plan), folder)


def _reconstruct(plan: TrainingConfig, stickers: TrainingArtwork, folder: Path) -> Recipe:
    from pigeon_rec.training.reconstruct import ReconstructRecipe
    from pigeon_rec.training.text import text_tokenizer

    return ReconstructRecipe(plan.model, stickers, text_tokenizer(folder, stickers, plan), folder)


def _align(plan: TrainingConfig, _stickers: TrainingArtwork, folder: Path) -> Recipe:
    from pigeon_rec.training.align import AlignRecipe

    return AlignRecipe(plan.model, plan.align, folder)


RECIPES: dict[str, Callable[[TrainingConfig, TrainingArtwork, Path], Recipe]] = {
    "tokenizer": _tokenizer,
    "autoencoder": _autoencoder,
    "scorer": _scorer,
    "renderer": _renderer,
    "language-model": _language_model,
    "reconstruct": _reconstruct,
    "align": _align,
}
"""In the order they run: renderer needs tokenizer and autoencoder, reconstruct the language model,
and align the preference pairs that `pairs.make_pairs` makes of reconstruct's model."""


def run_recipe(
    name: str,
    plan: TrainingConfig,
    folder: Path,
    *,
    start: str | Path | None = None,
    show_progress: bool = False,
) -> Path:
    """Trains one recipe into `folder/<name>`; returns the weights' path.

    Args:
        name: Of the recipe.
        plan: Sizes and loops.
        folder: Of the plan's recipes.
        start: Model whose weights the recipe goes on from; None starts from random ones. A run
            that is resumed goes on from its own checkpoint.
        show_progress: Draw a bar.

    Raises:
        ModelError: There is no such model to start from.
        TrainingError: The plan has no loop for the recipe, an earlier recipe's weights are missing
            from `folder`, or the model to start from is of other sizes.
    """
    if name not in RECIPES or name not in plan.loops:
        raise TrainingError(
            f"there is no recipe {name!r} in this plan",
            location=str(folder),
            remedy=f"Recipes with a loop: {', '.join(n for n in RECIPES if n in plan.loops)}",
        )
    loop = plan.loops[name]
    # The first process learns the text tokenizer and fills the caches; the others find them.
    with new_accelerator().main_process_first():
        if start is not None:
            adopt_words(folder, start)
        torch.manual_seed(loop.seed)  # the recipe draws its first weights
        recipe = RECIPES[name](plan, training_artwork(plan), folder)
        if start is not None:
            start_from(recipe, name, start)
    return train(recipe, loop, folder / name, show_progress=show_progress)
