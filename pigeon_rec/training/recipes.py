"""The recipes of a model by name, and the folder each leaves its weights in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pigeon_rec.errors import ConfigError, TrainingError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.scoring.encoder import EncoderConfig
from pigeon_rec.training.loop import LoopConfig, Recipe, train
from pigeon_rec.training.stickers import TrainingStickers, load_stickers

__all__ = ["RECIPES", "TrainingPlan", "load_plan", "run_recipe"]

CONFIGS = Path(__file__).parent / "configs"


class TrainingPlan(BaseModel):
    """A model's sizes and the loop of each of its recipes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: PigeonConfig = PigeonConfig()
    scorer: EncoderConfig = EncoderConfig()
    loops: dict[str, LoopConfig]


def load_plan(name_or_path: str | Path) -> TrainingPlan:
    """Reads a bundled plan by name, or a YAML file.

    Raises:
        ConfigError: The file is missing, or a setting is unknown or out of range.
    """
    bundled = CONFIGS / f"{name_or_path}.yaml"
    path = bundled if bundled.is_file() else Path(name_or_path)
    try:
        return TrainingPlan.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(
            f"the training plan is unusable: {error}",
            where=str(path),
            remedy=f"Bundled plans: {', '.join(sorted(p.stem for p in CONFIGS.glob('*.yaml')))}",
        ) from error


def _tokenizer(plan: TrainingPlan, stickers: TrainingStickers, _folder: Path) -> Recipe:
    from pigeon_rec.training.tokenizer import TokenizerRecipe

    return TokenizerRecipe(plan.model, stickers)


def _autoencoder(plan: TrainingPlan, stickers: TrainingStickers, _folder: Path) -> Recipe:
    from pigeon_rec.training.autoencoder import AutoencoderRecipe

    return AutoencoderRecipe(plan.model, stickers)


def _scorer(plan: TrainingPlan, stickers: TrainingStickers, folder: Path) -> Recipe:
    from pigeon_rec.training.scorer import ScorerRecipe
    from pigeon_rec.training.words import text_tokenizer

    return ScorerRecipe(plan.scorer, stickers, text_tokenizer(folder, stickers, plan))


def _renderer(plan: TrainingPlan, stickers: TrainingStickers, folder: Path) -> Recipe:
    from pigeon_rec.training.renderer import RendererRecipe

    return RendererRecipe(plan.model, stickers, folder)


def _language_model(plan: TrainingPlan, stickers: TrainingStickers, folder: Path) -> Recipe:
    from pigeon_rec.training.language_model import LanguageModelRecipe
    from pigeon_rec.training.words import text_tokenizer

    return LanguageModelRecipe(plan.model, stickers, text_tokenizer(folder, stickers, plan), folder)


def _reconstruct(plan: TrainingPlan, stickers: TrainingStickers, folder: Path) -> Recipe:
    from pigeon_rec.training.reconstruct import ReconstructRecipe
    from pigeon_rec.training.words import text_tokenizer

    return ReconstructRecipe(plan.model, stickers, text_tokenizer(folder, stickers, plan), folder)


RECIPES: dict[str, Callable[[TrainingPlan, TrainingStickers, Path], Recipe]] = {
    "tokenizer": _tokenizer,
    "autoencoder": _autoencoder,
    "scorer": _scorer,
    "renderer": _renderer,
    "language-model": _language_model,
    "reconstruct": _reconstruct,
}
"""In the order they run: renderer needs tokenizer and autoencoder, reconstruct all before it."""


def run_recipe(name: str, plan: TrainingPlan, folder: Path, *, show_progress: bool = False) -> Path:
    """Trains one recipe into `folder/<name>`; returns the weights' path.

    Raises:
        TrainingError: The plan has no loop for the recipe, or an earlier recipe's weights are
            missing from `folder`.
    """
    if name not in RECIPES or name not in plan.loops:
        raise TrainingError(
            f"there is no recipe {name!r} in this plan",
            where=str(folder),
            remedy=f"Recipes with a loop: {', '.join(n for n in RECIPES if n in plan.loops)}",
        )
    loop = plan.loops[name]
    torch.manual_seed(loop.seed)  # the recipe draws its first weights
    recipe = RECIPES[name](plan, load_stickers(), folder)
    return train(recipe, loop, folder / name, show_progress=show_progress)
