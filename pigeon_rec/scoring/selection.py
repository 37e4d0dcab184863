"""Selection of candidates and of preference pairs by their scores (numpy only).

Every request is drawn at several reference mask ratios. At inference the candidate with the best
`w * text score + (1 - w) * history score`, w = 0.5, is chosen. For stage 2 the best and the worst
ratio become chosen and rejected; the paper scores them by history alone (arXiv 2410.14170,
"pairwise preference alignment"). The first of equal scores wins, at every level.
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
        image: `int64 [n]`, index of the image decoded from that sequence.
        score: `[n]`, its score; NaN if no candidate of the sample has one.
    """

    ratio: Indices
    sequence: Indices
    image: Indices
    score: Scores


@dataclass(frozen=True)
class PreferencePair:
    """The chosen and the rejected candidate of each sample; the same one where all scores tie."""

    chosen: Choice
    rejected: Choice


def shortlist(scores: ArrayLike, count: int) -> Indices:
    """Indices of the `count` best candidates of each sample, in ascending order.

    Args:
        scores: `[n, candidates]`; NaN counts as lowest, and of equal scores the first wins.
        count: At least 1; a larger number than there are candidates returns all.

    Returns:
        `int64 [n, count]`.
    """
    rated = np.asarray(scores, np.float64)
    order = np.argsort(-np.nan_to_num(rated, nan=-np.inf), axis=-1, kind="stable")
    return np.sort(order[..., :count], axis=-1)


def choose_preference_pairs(scores: ArrayLike) -> PreferencePair:
    """Picks the chosen and the rejected candidate of each sample.

    Each ratio competes with its best image: the ratio with the highest best score is chosen, the
    one with the lowest best score is rejected.

    Args:
        scores: `[n, ratios, sequences, images]`.

    Raises:
        ValueError: The scores do not have four axes, or there is no candidate.
    """
    best = _best_of_ratio(np.asarray(scores))
    return PreferencePair(
        chosen=_take_ratio(best, _first_best(best.score)),
        rejected=_take_ratio(best, _first_best(-best.score)),
    )


def combine_scores(
    target_scores: ArrayLike, history_scores: ArrayLike, target_weight: float = TARGET_WEIGHT
) -> Scores:
    """Weighted sum of two score arrays of one shape; keeps their floating-point type.

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
    """All scores of candidates, named as in the quality gate and the warehouse.

    Args:
        pictures: Image embeddings `[..., dim]`; leading axes of all arguments broadcast.
        texts: Embeddings `[..., dim]` of the target texts.
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
    """Index of the highest score on the last axis, the first at a tie; NaN counts as lowest."""
    if scores.shape[-1] == 0:
        raise ValueError("there is no candidate to choose from")
    place: Indices = np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=-1)
    return place


def _best_of_ratio(scores: Scores) -> Choice:
    """Best image of each sequence, then best sequence; fields are `[n, ratios]`."""
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
