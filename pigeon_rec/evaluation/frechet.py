"""Fréchet distance between sets of pictures, on the judges' features instead of Inception's."""

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
"""Factor of the unit vectors, whose distances would be below 1; distances grow with its square."""


def frechet_distance(drawn: Vectors, real: Vectors) -> float:
    """Fréchet distance of two sets of unit vectors `[n, d]`; 0 for equal sets.

    Its upward bias falls with the number of pictures: compare sets of the same size only.
    """
    metric = FrechetInceptionDistance(feature=_Features(drawn.shape[1])).set_dtype(torch.float64)
    metric.update(torch.from_numpy(real * _SCALE), real=True)
    metric.update(torch.from_numpy(drawn * _SCALE), real=False)
    return float(metric.compute())


def frechet_interval(
    drawn: Vectors, real: Vectors, *, confidence: float = 0.95, resamples: int = 50
) -> Interval:
    """Returns the distance with its bootstrap interval over the cases of `drawn`.

    Resampling repeats pictures and so biases the distance: the interval is centred on the distance
    of the whole sets, and never below 0.
    """
    whole = frechet_distance(drawn, real)
    again = [frechet_distance(drawn[rows], real) for rows in resampled_rows(len(drawn), resamples)]
    deviations = np.array(again) - np.mean(again)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(deviations, [tail, 1.0 - tail])
    return Interval(whole, max(0.0, whole + float(low)), whole + float(high), len(drawn))


class _Features(nn.Identity):
    """Replaces Inception: the inputs are features already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width
