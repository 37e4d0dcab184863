"""Some forty concepts, tiny sizes and helpers that the tests of all recipes share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from pigeon_rec.data.dataset import Dataset, load_dataset
from pigeon_rec.scoring.scorer import ScorerConfig
from pigeon_rec.training.artwork import TrainingArtwork, load_artwork
from pigeon_rec.training.configuration import CandidateConfig, PairsConfig, TrainingConfig
from pigeon_rec.training.loop import LoopConfig
from pigeon_rec.training.recipe import Recipe
from pigeon_rec.training.recipes import RECIPES
from pigeon_rec.training.style import StyleSettings
from pigeon_rec.training.windows import concepts_of
from tests.model.tiny import TINY

__all__ = ["CONFIG", "bundled", "falls", "generator", "handful", "is_held_out", "quick_loop"]


def quick_loop(steps: int = 3, **settings: object) -> LoopConfig:
    """A short loop over batches of 12."""
    values = {"batch_size": 12, "learning_rate": 1e-3, "warmup": 1, "log_every": 1}
    return LoopConfig.model_validate({"steps": steps, **values, **settings})


CONFIG = TrainingConfig(
    model=TINY,
    scorer=ScorerConfig(
        image_size=16, patch=4, stem=(8, 16), width=32, layers=1, heads=2, text_vocabulary=280,
        text_length=16, text_layers=1, embedding=16, style_embedding=8, style_width=16,
    ),
    style=StyleSettings(pictures=4, made_styles=2, made_pictures=3),
    loops={name: quick_loop() for name in RECIPES},
    pairs=PairsConfig(
        windows=40,
        validation_windows=12,
        candidates=CandidateConfig(mask_ratios=(0.0, 0.3, 0.6, 1.0), diffusion_steps=2, top_k=8),
        min_margin=0,
        hard_negatives=0.5,
        batch_size=16,
    ),
)  # fmt: skip


@lru_cache(maxsize=1)
def bundled() -> Dataset:
    """The bundled stickers with their users."""
    return load_dataset()


def handful(*_: object, **__: object) -> TrainingArtwork:
    """The concepts of one user, some forty, in all their styles, 16x16; in place of any other."""
    return _handful()


@lru_cache(maxsize=1)
def _handful() -> TrainingArtwork:
    artwork = load_artwork(bundled(), 64, concepts_of(bundled(), 1))
    small = artwork.images.reshape(-1, 16, 4, 16, 4, 3).mean((2, 4)).astype(np.uint8)
    return dataclasses.replace(artwork, images=small)


def is_held_out(artwork: TrainingArtwork, rows: Sequence[int]) -> list[bool]:
    """Whether artwork rows are held-out pairs."""
    held_out = set(bundled().held_out_items()["item_id"])
    items = artwork.rows["item_id"]
    return [items[row] in held_out for row in rows]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def falls(
    recipe: Recipe, steps: int = 25, batch_size: int = 12, learning_rate: float = 3e-3
) -> tuple[float, float]:
    """First and last loss of some steps on one fixed batch."""
    recipe.set_training(True)
    module = recipe.module()
    weights = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=learning_rate)
    recipe.start(0)
    losses = []
    for _ in range(steps):
        torch.manual_seed(0)
        loss = recipe.losses(batch_size, generator())["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1]
