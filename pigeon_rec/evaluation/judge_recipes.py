"""Training tasks of the judges; only artwork that is not held out, and a part of that set aside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from pigeon_rec.data.stickers import load_training_stickers
from pigeon_rec.evaluation.augmentation import (
    CONCEPT_DISTORTION,
    STYLE_DISTORTION,
    Distortion,
    distort,
)
from pigeon_rec.evaluation.networks import JudgeConfig, JudgeNetwork
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.training.recipe import Losses, Recipe
from pigeon_rec.training.stickers import TrainingStickers, decode_stickers

__all__ = ["JudgeKind", "JudgeRecipe", "judge_stickers", "set_aside"]

JudgeKind = Literal["style", "concept"]

_SET_ASIDE = 0.04
_DISTORTIONS: dict[JudgeKind, Distortion] = {
    "style": STYLE_DISTORTION,
    "concept": CONCEPT_DISTORTION,
}
_WIDTHS: dict[JudgeKind, tuple[int, ...]] = {
    "style": (24, 48, 96, 128),
    "concept": (24, 48, 96, 192),
}
_EMBEDDING: dict[JudgeKind, int] = {"style": 64, "concept": 192}


def judge_stickers() -> TrainingStickers:
    """The artwork judges may see: what is not held out, decoded."""
    return decode_stickers(load_training_stickers())


def set_aside(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Which rows (`item_id`) judges are validated on and never learn from: about 4 in 100."""
    return np.array([_draw(item) < _SET_ASIDE for item in rows["item_id"]])


def _draw(item_id: str) -> float:
    digest = hashlib.sha256(f"judge:{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True)
class _Labels:
    classes: Sequence[str]
    of: NDArray[np.int64]


class JudgeRecipe(Recipe):
    """Cross-entropy of a judge's cosine classifier, on distorted artwork."""

    validates = True

    def __init__(self, kind: JudgeKind, stickers: TrainingStickers) -> None:
        self.stickers = stickers
        self.distortion = _DISTORTIONS[kind]
        style = _Labels(stickers.styles, stickers.style)
        labels = style if kind == "style" else _Labels(stickers.concepts, stickers.concept)
        self.labels = torch.from_numpy(labels.of)
        aside = set_aside(stickers.rows)
        self.learned, self.tested = np.flatnonzero(~aside), np.flatnonzero(aside)
        self.network = JudgeNetwork(
            JudgeConfig(
                classes=tuple(labels.classes), widths=_WIDTHS[kind], embedding=_EMBEDDING[kind]
            )
        )

    def module(self) -> nn.Module:
        return self.network

    def losses(self, batch_size: int, random: np.random.Generator) -> Losses:
        rows = random.choice(self.learned, batch_size, replace=False)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        with torch.autocast("cpu", enabled=False):
            pixels = distort(to_pixels(self.stickers.images[rows]), self.distortion, generator)
        return self._told(pixels.to(self.device), rows)

    def validation(self, batch_size: int, samples: int) -> Iterator[Losses]:
        rows = self.tested[:samples]
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            yield self._told(to_pixels(self.stickers.images[part]).to(self.device), part)

    def _told(self, pixels: torch.Tensor, rows: NDArray[np.int64]) -> Losses:
        labels = self.labels[torch.from_numpy(rows)].to(self.device)
        logits = self.network(pixels)
        accuracy = (logits.argmax(1) == labels).float().mean()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy}
