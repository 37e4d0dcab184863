"""Which candidate picture wins, and which two make a preference pair (numpy only).

Every asset is drawn at several target mask ratios. At inference the ratio with the best
`w * target score + (1 - w) * history score`, w = 0.5, is kept; for stage 2 the best and the
worst ratio by history score alone become chosen and rejected (arXiv 2410.14170, "pairwise
preference alignment"). Ties go to the first in the order given, at every level.
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
    "choose_candidates",
    "choose_preference_pairs",
    "combine_scores",
    "picture_scores",
    "select",
    "shortlist",
    "strip_padding",
]

Indices = NDArray[np.int64]
Scores = NDArray[np.floating[Any]]
_Kind = TypeVar("_Kind", bound=np.generic)

TARGET_WEIGHT = 0.5


@dataclass(frozen=True)
class Choice:
    """One candidate per sample, told by its place on each axis.

    Attributes:
        ratio: `int64 [n]` places on the mask-ratio axis.
        sequence: `int64 [n]` places of the token sequence within that ratio.
        image: `int64 [n]` places of the picture decoded from that sequence.
        score: `[n]` the score that decided; NaN where no candidate of the sample has one.
    """

    ratio: Indices
    sequence: Indices
    image: Indices
    score: Scores


@dataclass(frozen=True)
class PreferencePair:
    """The liked and the disliked candidate of each sample; equal where all tie."""

    chosen: Choice
    rejected: Choice


def select(
    target_scores: ArrayLike, history_scores: ArrayLike, target_weight: float = TARGET_WEIGHT
) -> Indices:
    """Picks the mask ratio of each sample.

    Args:
        target_scores: `[n, ratios]`, likeness to the target text.
        history_scores: `[n, ratios]`, mean likeness to the history pictures.
        target_weight: Weight of the target score, in [0, 1]; the history has the rest.

    Returns:
        `int64 [n]` ratio places: the highest combined score, the first at a tie. A NaN score (a
        candidate that could not be scored) never wins against a number.

    Raises:
        ValueError: The shapes differ, are not two-dimensional or hold no ratio, or the weight
            is out of range.
    """
    combined = combine_scores(target_scores, history_scores, target_weight)
    if combined.ndim != 2:
        raise ValueError(f"scores must be [samples, ratios], received shape {combined.shape}")
    return _first_best(combined)


def shortlist(scores: ArrayLike, count: int) -> Indices:
    """Places of the best candidates of each sample, in their order on the axis.

    Args:
        scores: `[n, candidates]`.
        count: How many, 1 or more; all of them where there are no more.

    Returns:
        `int64 [n, count]`; of equal scores the first come first, and NaN counts as lowest.
    """
    rated = np.asarray(scores, np.float64)
    order = np.argsort(-np.nan_to_num(rated, nan=-np.inf), axis=-1, kind="stable")
    return np.sort(order[..., :count], axis=-1)


def choose_candidates(
    target_scores: ArrayLike, history_scores: ArrayLike, target_weight: float = TARGET_WEIGHT
) -> Choice:
    """Picks picture, sequence and mask ratio of each sample by the combined score.

    Args:
        target_scores: `[n, ratios, sequences, images]`.
        history_scores: Of the same shape.
        target_weight: As in `select`.

    Raises:
        ValueError: As in `select`, for four axes.
    """
    best = _best_of_ratio(combine_scores(target_scores, history_scores, target_weight))
    return _take_ratio(best, _first_best(best.score))


def choose_preference_pairs(history_scores: ArrayLike) -> PreferencePair:
    """Picks chosen and rejected of each sample by history score alone.

    Every ratio is stood for by its best picture; the ratio whose best is highest is chosen, the
    one whose best is lowest is rejected.

    Args:
        history_scores: `[n, ratios, sequences, images]`.

    Raises:
        ValueError: The scores have not four axes, or hold no candidate.
    """
    best = _best_of_ratio(np.asarray(history_scores))
    return PreferencePair(
        chosen=_take_ratio(best, _first_best(best.score)),
        rejected=_take_ratio(best, _first_best(-best.score)),
    )


def combine_scores(
    target_scores: ArrayLike, history_scores: ArrayLike, target_weight: float = TARGET_WEIGHT
) -> Scores:
    """Weighted sum of two score arrays of one shape, in their own precision.

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
    """All scores of pictures, by the names that gate and warehouse know them by.

    Args:
        pictures: Image embeddings `[..., dim]`; leading axes of all arguments broadcast.
        texts: Text embeddings `[..., dim]` of what is to be shown.
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


def strip_padding(tokens: ArrayLike, pad_id: int) -> list[Indices]:
    """Cuts the trailing padding of every token row.

    Args:
        tokens: `int64 [n, length]`, padded right with `pad_id`; the id may also stand inside.
        pad_id: Padding id (the published code pads with the end-of-sequence id, 2).

    Returns:
        `n` rows `int64 [length_i]`; a row of padding only comes back empty.
    """
    rows = np.asarray(tokens, np.int64)
    trailing = np.cumprod(rows[:, ::-1] == pad_id, axis=1).sum(axis=1)
    return [row[: len(row) - cut] for row, cut in zip(rows, trailing, strict=True)]


def _first_best(scores: Scores) -> Indices:
    """Place of the highest number on the last axis, the first at a tie; NaN counts as lowest."""
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
