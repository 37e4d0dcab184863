"""Fréchet distance between sets of pictures, on the judges' features (not Inception's: see FID)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from pigeon_rec.runtime.bootstrap import Interval, resampled_rows

__all__ = ["frechet_distance", "frechet_interval"]

Vectors = NDArray[np.float32]
_SCALE = 10.0
"""Unit vectors give distances below 1; as factor of the vectors, its square makes them readable."""


def frechet_distance(drawn: Vectors, real: Vectors) -> float:
    """Distance of two sets of unit vectors `[n, d]`, as Gaussians; 0 where they are the same.

    It has an upward bias that falls with the number of pictures: only sets of one size compare.
    """
    metric = FrechetInceptionDistance(feature=_Given(drawn.shape[1])).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real * _SCALE), real=True)
    metric.update(torch.from_numpy(drawn * _SCALE), real=False)
    return float(metric.compute())


def frechet_interval(
    drawn: Vectors, real: Vectors, *, confidence: float = 0.95, resamples: int = 50
) -> Interval:
    """The distance with its interval over the cases behind `drawn`.

    Resampling repeats pictures, which makes sets narrower: the interval is moved to stand around
    the distance itself (basic bootstrap), never below 0.
    """
    whole = frechet_distance(drawn, real)
    again = [frechet_distance(drawn[rows], real) for rows in resampled_rows(len(drawn), resamples)]
    apart = np.array(again) - np.mean(again)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(apart, [tail, 1.0 - tail])
    return Interval(whole, max(0.0, whole + float(low)), whole + float(high), len(drawn))


class _Given(nn.Identity):
    """Stands in for Inception: what it is given are features already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width
