"""Fits the judges: `pigeon-rec evaluate train-judges`.

Linear discriminant analysis of hand-made features, in closed form: about two minutes of one core,
with no luck in it but the seed of the distortions. Each artwork counts twice, as it is and mirrored
or distorted, so that drawn pictures, which are softer and less clean, are still judged as what they
show. Only artwork that is not held out is read, and a part of that is set aside as a first test.
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

from pigeon_rec.demo.stickers import load_training_stickers
from pigeon_rec.evaluation.augmentation import (
    CONCEPT_DISTORTION,
    STYLE_DISTORTION,
    Distortion,
    distort,
)
from pigeon_rec.evaluation.features import FEATURES
from pigeon_rec.evaluation.judges import Judge
from pigeon_rec.model.arrays import to_levels, to_pixels
from pigeon_rec.training.artwork import TrainingArtwork, decode_stickers

__all__ = ["JudgeKind", "fit_judge", "judge_stickers", "set_aside", "train_judges"]

JudgeKind = Literal["style", "concept"]
Matrix = NDArray[np.float64]

_BLOCK: Final = 500
_SEED: Final = 9201
"""Apart from those of the model's own training plans."""


@dataclass(frozen=True)
class _Plan:
    """How one judge is fitted.

    Attributes:
        dimensions: Of the embedding.
        shrinkage: Share of the identity in the covariance within classes.
        distortion: Of the second copy of each artwork.
    """

    dimensions: int
    shrinkage: float
    distortion: Distortion


_PLANS: Final[dict[JudgeKind, _Plan]] = {
    "style": _Plan(7, 0.01, STYLE_DISTORTION),
    "concept": _Plan(100, 0.1, CONCEPT_DISTORTION),
}


def train_judges(destination: Path) -> dict[str, float]:
    """Fits both judges and writes them to `<destination>/<kind>`.

    Returns:
        Share of right answers of each on the artwork that was set aside; of concepts, among all.
    """
    stickers = judge_stickers()
    aside = set_aside(stickers.rows)
    told = {}
    for kind in get_args(JudgeKind):
        judge = fit_judge(kind, stickers, ~aside)
        judge.save(destination / kind)
        classes, labels = _labels(kind, stickers)
        best = judge.scores(judge.embed(stickers.images[aside])).argmax(1)
        right = best == judge.places([classes[label] for label in labels[aside]])
        told[kind] = float(right.mean())
    return told


def judge_stickers() -> TrainingArtwork:
    """The artwork judges may see: what is not held out, decoded."""
    return decode_stickers(load_training_stickers())


def set_aside(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Which rows (`item_id`) no judge learns from, although they are not held out: 4 in 100."""
    return np.array([_draw(item) < 0.04 for item in rows["item_id"]])


def fit_judge(kind: JudgeKind, stickers: TrainingArtwork, learned: NDArray[np.bool_]) -> Judge:
    """Fits one judge on the `learned` rows, bool `[stickers]`.

    Classes without a learned row are unknown to the judge.
    """
    plan = _PLANS[kind]
    names, labels = _labels(kind, stickers)
    known, codes = np.unique(labels[learned], return_inverse=True)
    features = _features(kind, stickers.images[learned], plan.distortion)
    codes = np.concatenate([codes, codes])
    mean, projection = _discriminants(features, codes, plan)
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
    """Features of the artwork and, behind them, of distorted copies, `[2 n, d]`."""
    generator = torch.Generator().manual_seed(_SEED)
    plain, changed = [], []
    for start in range(0, len(images), _BLOCK):
        part = images[start : start + _BLOCK]
        plain.append(FEATURES[kind](part))
        distorted = to_levels(distort(to_pixels(part), how, generator)).contiguous()
        changed.append(FEATURES[kind](distorted.numpy()))
    return np.concatenate([*plain, *changed]).astype(np.float64)


def _discriminants(
    features: Matrix, codes: NDArray[np.int64], plan: _Plan
) -> tuple[Matrix, Matrix]:
    """Mean `[d]` and the directions `[d, dimensions]` in which classes lie apart, best first."""
    mean = features.mean(0)
    centres = _class_means(features - mean, codes)
    inner = features - mean - centres[codes]
    within = inner.T @ inner / len(inner)
    ridge = plan.shrinkage * np.trace(within) / len(within)
    within = (1.0 - plan.shrinkage) * within + ridge * np.eye(len(within))
    weights = np.bincount(codes)[:, None] / len(codes)
    between = (centres * weights).T @ centres
    # Whitened by the Cholesky factor, the generalised problem is a plain one.
    factor = np.linalg.inv(np.linalg.cholesky(within))
    _, vectors = np.linalg.eigh(factor @ between @ factor.T)  # ascending
    return mean, factor.T @ vectors[:, ::-1][:, : plan.dimensions]


def _class_means(rows: Matrix, codes: NDArray[np.int64]) -> Matrix:
    sums = np.zeros((int(codes.max()) + 1, rows.shape[1]))
    np.add.at(sums, codes, rows)
    return sums / np.bincount(codes)[:, None]


def _unit(rows: Matrix) -> Matrix:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9)
