"""Fits the judges: `pigeon-rec evaluate train-judges`.

Linear discriminant analysis of hand-crafted features, in closed form: about two minutes on one
core; only the augmentation is random, with a fixed seed. Each artwork counts twice, unchanged and
distorted, since drawn pictures are softer and noisier than artwork. Held-out artwork is never read,
and a part of the rest is kept for validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pigeon_rec.data.world import load_world
from pigeon_rec.evaluation.augmentation import (
    CONCEPT_DISTORTION,
    STYLE_DISTORTION,
    Distortion,
    distort,
)
from pigeon_rec.evaluation.features import FEATURES
from pigeon_rec.evaluation.judges import Judge
from pigeon_rec.model.arrays import to_levels, to_pixels
from pigeon_rec.training.artwork import TrainingArtwork, decode_artwork

__all__ = ["JudgeKind", "fit_judge", "judge_stickers", "train_judges", "validation_rows"]

JudgeKind = Literal["style", "concept"]
Matrix = NDArray[np.float64]

_BLOCK: Final = 500
_SEED: Final = 9201
"""Not used by the model's own training."""


@dataclass(frozen=True)
class _Recipe:
    """How one judge is fitted.

    Attributes:
        dimensions: Dimension of the embedding.
        shrinkage: Share of the identity in the within-class covariance.
        distortion: Augmentation of the second copy of each artwork.
    """

    dimensions: int
    shrinkage: float
    distortion: Distortion


_RECIPES: Final[dict[JudgeKind, _Recipe]] = {
    "style": _Recipe(7, 0.01, STYLE_DISTORTION),
    "concept": _Recipe(100, 0.1, CONCEPT_DISTORTION),
}


def train_judges(destination: Path) -> dict[str, float]:
    """Fits both judges and writes them to `<destination>/<kind>`.

    Returns:
        Accuracy of each on the validation artwork; of concepts, among all of them.
    """
    stickers = judge_stickers()
    validation = validation_rows(stickers.rows)
    accuracy = {}
    for kind in get_args(JudgeKind):
        judge = fit_judge(kind, stickers, ~validation)
        judge.save(destination / kind)
        classes, labels = _labels(kind, stickers)
        best = judge.scores(judge.embed(stickers.images[validation])).argmax(1)
        right = best == judge.codes([classes[label] for label in labels[validation]])
        accuracy[kind] = float(right.mean())
    return accuracy


def judge_stickers() -> TrainingArtwork:
    """Decodes the artwork that is not held out."""
    return decode_artwork(load_world("bundled").training_artwork())


def validation_rows(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Mask of the 4 % of the rows (`item_id`) that are kept for validation."""
    return np.array([_draw(item) < 0.04 for item in rows["item_id"]])


def fit_judge(kind: JudgeKind, stickers: TrainingArtwork, mask: NDArray[np.bool_]) -> Judge:
    """Fits one judge on the rows of a mask, bool `[stickers]`; it has the classes of these rows."""
    recipe = _RECIPES[kind]
    names, labels = _labels(kind, stickers)
    known, codes = np.unique(labels[mask], return_inverse=True)
    features = _features(kind, stickers.images[mask], recipe.distortion)
    codes = np.concatenate([codes, codes])
    mean, projection = _discriminants(features, codes, recipe)
    embedded = _unit((features - mean) @ projection)
    prototypes = _class_means(embedded, codes)
    return Judge(kind, [names[code] for code in known], mean, projection, _unit(prototypes))


def _labels(kind: JudgeKind, stickers: TrainingArtwork) -> tuple[Sequence[str], NDArray[np.int64]]:
    if kind == "style":
        return stickers.styles, stickers.style
    return stickers.concepts, stickers.concept


def _draw(item_id: str) -> float:
    digest = hashlib.sha256(f"judge:{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _features(kind: JudgeKind, images: NDArray[np.uint8], how: Distortion) -> Matrix:
    """Features of the artwork, then of distorted copies, `[2 n, d]`."""
    generator = torch.Generator().manual_seed(_SEED)
    plain, changed = [], []
    for start in range(0, len(images), _BLOCK):
        part = images[start : start + _BLOCK]
        plain.append(FEATURES[kind](part))
        distorted = to_levels(distort(to_pixels(part), how, generator)).contiguous()
        changed.append(FEATURES[kind](distorted.numpy()))
    return np.concatenate([*plain, *changed]).astype(np.float64)


def _discriminants(
    features: Matrix, codes: NDArray[np.int64], recipe: _Recipe
) -> tuple[Matrix, Matrix]:
    """Mean `[d]` and discriminant directions `[d, dimensions]`, best first."""
    mean = features.mean(0)
    centres = _class_means(features - mean, codes)
    inner = features - mean - centres[codes]
    within = inner.T @ inner / len(inner)
    ridge = recipe.shrinkage * np.trace(within) / len(within)
    within = (1.0 - recipe.shrinkage) * within + ridge * np.eye(len(within))
    weights = np.bincount(codes)[:, None] / len(codes)
    between = (centres * weights).T @ centres
    # Whitening with the Cholesky factor gives an ordinary eigenvalue problem.
    factor = np.linalg.inv(np.linalg.cholesky(within))
    _, vectors = np.linalg.eigh(factor @ between @ factor.T)  # ascending
    return mean, factor.T @ vectors[:, ::-1][:, : recipe.dimensions]


def _class_means(rows: Matrix, codes: NDArray[np.int64]) -> Matrix:
    sums = np.zeros((int(codes.max()) + 1, rows.shape[1]))
    np.add.at(sums, codes, rows)
    return sums / np.bincount(codes)[:, None]


def _unit(rows: Matrix) -> Matrix:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9)
