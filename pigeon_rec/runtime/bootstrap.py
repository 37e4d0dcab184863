"""Means with bootstrap bounds: percentiles of the mean over resampled cases (numpy only)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Interval",
    "lower_bound",
    "mean_interval",
    "paired_interval",
    "resampled_means",
    "resampled_rows",
]

_SEED = 20_260_601


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided confidence interval.

    Attributes:
        mean: Mean of the values; it and the bounds are NaN without values.
        cases: Number of values.
    """

    mean: float
    low: float
    high: float
    cases: int


def mean_interval(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Computes the mean of one value per case, with its two-sided percentile interval.

    Args:
        values: `[n]`; values that are not finite are left out.
        confidence: Confidence of the interval, in (0, 1).
        resamples: Bootstrap samples; the same values always give the same interval.
    """
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    if not len(kept):
        return Interval(np.nan, np.nan, np.nan, 0)
    means = resampled_means(kept, np.random.default_rng(_SEED), resamples)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(kept.mean()), float(low), float(high), len(kept))


def paired_interval(
    first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Computes the mean difference `first - second`, paired by case.

    Args:
        first: `[n]`, one value per case.
        second: `[n]`, of the same cases in the same order; a case that lacks either is left out.
        confidence: As in `mean_interval`.
        resamples: As in `mean_interval`.
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return mean_interval(difference, confidence=confidence, resamples=resamples)


def lower_bound(
    values: NDArray[np.float64], random: np.random.Generator, *, confidence: float, resamples: int
) -> float:
    """Computes the one-sided lower percentile bound of the mean of `[n]` values, n > 0."""
    return float(np.quantile(resampled_means(values, random, resamples), 1.0 - confidence))


def resampled_means(
    values: NDArray[np.float64], random: np.random.Generator, resamples: int
) -> NDArray[np.float64]:
    """Computes means of bootstrap samples, `[resamples]`.

    Args:
        values: `[n]`, or `[groups, n]` for crossed factors: each sample then draws groups first,
            and cases of their mean second.
        random: Source of the draws; one bootstrap sample is drawn after the other.
        resamples: Number of bootstrap samples.
    """
    means = np.empty(resamples)
    for place in range(resamples):
        mean = values
        while mean.ndim:
            mean = mean[random.integers(len(mean), size=len(mean))].mean(axis=0)
        means[place] = mean
    return means


def resampled_rows(count: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Yields row numbers int64 `[count]` of each bootstrap sample, drawn from a fixed seed."""
    random = np.random.default_rng(_SEED)
    for _ in range(resamples):
        yield random.integers(count, size=count)
