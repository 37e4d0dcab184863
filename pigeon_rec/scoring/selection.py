"""Scores of candidates, and the choice between them by score (numpy only).

Every request is drawn at several target mask ratios. At inference the ratio with the best
`w * target score + (1 - w) * history score`, w = 0.5, is kept; for stage 2 the best and the
worst ratio by history score alone become chosen and rejected (arXiv 2410.14170, "pairwise
preference alignment"). Of equal scores the first in the given order wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pigeon_rec.scoring.metrics import (
    FloatArray,
    clip_text_score,
    history_similarity,
    reference_similarity,
)

__all__ = [
    "TARGET_WEIGHT",
    "Choice",
    "PreferencePair",
    "choose_preference_pairs",
    "combine_scores",
    "picture_scores",
    "shortlist",
]

Indices = NDArray[np.int64]
Scores = NDArray[np.floating[Any]]
_Kind = TypeVar("_Kind", bound=np.generic)

TARGET_WEIGHT = 0.5


@dataclass(frozen=True)
class Choice:
    """One candidate per sample, by its index on each axis.

    Attributes:
        ratio: `int64 [n]`, index of the mask ratio.
        sequence: `int64 [n]`, index of the token sequence within that ratio.
        image: `int64 [n]`, index of the picture decoded from that sequence.
        score: `[n]`, the deciding score; NaN if no candidate of the sample has one.
    """

    ratio: Indices
    sequence: Indices
    image: Indices
    score: Scores


@dataclass(frozen=True)
class PreferencePair:
    """The chosen and the rejected candidate of each sample; the same one if all tie."""

    chosen: Choice
    rejected: Choice


def shortlist(scores: ArrayLike, count: int) -> Indices:
    """Returns the indices of the best candidates of each sample, in ascending order.

    Args:
        scores: `[n, candidates]`.
        count: Number of candidates to keep, at least 1.

    Returns:
        `int64 [n, min(count, candidates)]`; of equal scores the first are kept, and NaN counts as
        the lowest.
    """
    rated = np.asarray(scores, np.float64)
    order = np.argsort(-np.nan_to_num(rated, nan=-np.inf), axis=-1, kind="stable")
    return np.sort(order[..., :count], axis=-1)


def choose_preference_pairs(scores: ArrayLike) -> PreferencePair:
    """Picks chosen and rejected of each sample by score; in the paper, by history score alone.

    The score of a ratio is that of its best picture; the ratio with the highest score is chosen,
    the one with the lowest is rejected. A NaN score never wins against a number.

    Args:
        scores: `[n, ratios, sequences, images]`.

    Raises:
        ValueError: The scores do not have four axes, or have no candidate.
    """
    best = _best_of_ratio(np.asarray(scores))
    return PreferencePair(
        chosen=_take_ratio(best, _first_best(best.score)),
        rejected=_take_ratio(best, _first_best(-best.score)),
    )


def combine_scores(
    target_scores: ArrayLike, history_scores: ArrayLike, target_weight: float = TARGET_WEIGHT
) -> Scores:
    """Returns `w * target + (1 - w) * history` of two score arrays of one shape.

    Raises:
        ValueError: The shapes differ, or `target_weight` is not in [0, 1].
    """
    target, history = np.asarray(target_scores), np.asarray(history_scores)
    if target.shape != history.shape:
        raise ValueError(
            f"target scores {target.shape} and history scores {history.shape} differ in shape"
        )
    if not 0.0 <= target_weight <= 1.0:
        raise ValueError(f"`target_weight` must be in [0, 1], received {target_weight}")
    combined: Scores = target_weight * target + (1.0 - target_weight) * history
    return combined


def picture_scores(
    pictures: ArrayLike, texts: ArrayLike, history: ArrayLike, references: ArrayLike
) -> dict[str, FloatArray]:
    """Returns all scores of pictures by the names that quality gate and warehouse use.

    Args:
        pictures: Image embeddings `[..., dim]`; leading axes of all arguments broadcast.
        texts: Text embeddings `[..., text dim]` of the targets.
        history: Image embeddings `[..., length, dim]` of the users' histories.
        references: Image embeddings `[..., dim]` of the references.

    Returns:
        `text_score`, `history_score`, `reference_score` and `selection_score`, each `[...]`.
    """
    text, past = clip_text_score(pictures, texts), history_similarity(pictures, history)
    return {
        "text_score": text,
        "history_score": past,
        "reference_score": reference_similarity(pictures, references),
        "selection_score": np.asarray(combine_scores(text, past), np.float64),
    }


def _first_best(scores: Scores) -> Indices:
    """Index of the highest number on the last axis, the first of equal ones; NaN is the lowest."""
    if scores.shape[-1] == 0:
        raise ValueError("there is no candidate to choose from")
    place: Indices = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=-1)
    return place


def _best_of_ratio(scores: Scores) -> Choice:
    """Best picture of each sequence, then best sequence; fields are `[n, ratios]`."""
    if scores.ndim != 4:
        raise ValueError(
            f"scores must be [samples, ratios, sequences, images], received shape {scores.shape}"
        )
    image = _first_best(scores)  # [n, ratios, sequences]
    by_sequence = _pick(scores, image)
    sequence = _first_best(by_sequence)  # [n, ratios]
    ratio = np.broadcast_to(np.arange(scores.shape[1], dtype=np.int64), sequence.shape)
    return Choice(ratio, sequence, _pick(image, sequence), _pick(by_sequence, sequence))


def _take_ratio(best: Choice, place: Indices) -> Choice:
    return Choice(
        ratio=_pick(best.ratio, place),
        sequence=_pick(best.sequence, place),
        image=_pick(best.image, place),
        score=_pick(best.score, place),
    )


def _pick(values: NDArray[_Kind], places: Indices) -> NDArray[_Kind]:
    """Takes one entry of the last axis per row: `[..., k]` and `[...]` give `[...]`."""
    return np.take_along_axis(values, places[..., None], axis=-1)[..., 0]
