"""Measures of others, from the extra `eval`: used where installed, and missed by name where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from pigeon_rec.evaluation.eyes import Eye
from pigeon_rec.evaluation.measure import PairDistance
from pigeon_rec.model.arrays import to_pixels

__all__ = ["Pretrained", "load_pretrained", "ms_ssim"]

Images = NDArray[np.uint8]
_BATCH = 64
_BETAS = (0.0448, 0.2856, 0.3001)
"""The first three of the five usual scales: 64 pixels are too few for more."""


@dataclass(frozen=True)
class Pretrained:
    """What can be measured here, beside the judges and the scorer.

    Attributes:
        eyes: By the name of their metric.
        distances: By the name of their metric.
        missing: Metric -> what to install for it.
    """

    eyes: Mapping[str, Eye]
    distances: Mapping[str, PairDistance]
    missing: Mapping[str, str]


def load_pretrained() -> Pretrained:
    """Loads what is installed."""
    eyes: dict[str, Eye] = {}
    distances: dict[str, PairDistance] = {"ms_ssim": ms_ssim}
    return Pretrained(eyes, distances, {})


@torch.inference_mode()
def ms_ssim(first: Images, second: Images) -> NDArray[np.float64]:
    """Multi-scale structural similarity `[n]` in [0, 1] of pairs, over three scales."""
    betas = tuple(beta / sum(_BETAS) for beta in _BETAS)
    values = [
        multiscale_structural_similarity_index_measure(
            to_pixels(first[start : start + _BATCH]),
            to_pixels(second[start : start + _BATCH]),
            data_range=(-1.0, 1.0),
            betas=betas,
            normalize="relu",
            reduction="none",
        )
        for start in range(0, len(first), _BATCH)
    ]
    return torch.cat([value.reshape(-1) for value in values]).double().numpy()
