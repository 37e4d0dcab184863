"""Means with their doubt: percentile bootstrap over cases (numpy only)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Interval", "mean_interval", "paired_interval", "resampled_rows"]

_SEED = 20_260_601


@dataclass(frozen=True)
class Interval:
    """A mean and the interval it lies in at the asked confidence.

    Attributes:
        mean: Of the values themselves; NaN where there is none.
        low: Lower bound.
        high: Upper bound.
        cases: Values behind it.
    """

    mean: float
    low: float
    high: float
    cases: int


def mean_interval(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """The mean of one value a case, with its two-sided percentile interval.

    Args:
        values: `[n]`; what is no finite number is left out.
        confidence: Of the interval, in (0, 1).
        resamples: Bootstrap samples; the same values always give the same interval.
    """
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    if not len(kept):
        return Interval(np.nan, np.nan, np.nan, 0)
    means = np.array([kept[rows].mean() for rows in resampled_rows(len(kept), resamples)])
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(kept.mean()), float(low), float(high), len(kept))


def paired_interval(
    first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """The mean difference `first - second`, paired by case.

    Args:
        first: `[n]`, one value a case.
        second: `[n]`, of the same cases in the same order; a case that lacks either is left out.
        confidence: As in `mean_interval`.
        resamples: As in `mean_interval`.
    """
    apart = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return mean_interval(apart, confidence=confidence, resamples=resamples)


def resampled_rows(count: int, resamples: int) -> NDArray[np.int64]:
    """Row numbers int64 `[resamples, count]`, drawn with replacement from a fixed seed."""
    return np.random.default_rng(_SEED).integers(0, count, (resamples, count))
