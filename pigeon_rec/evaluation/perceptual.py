"""Shift-tolerant LPIPS: a perceptual distance of two pictures, learned from human judgements.

Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric" (ECCV 2022): LPIPS (Zhang et al.,
CVPR 2018, equation 1) on an AlexNet with blurred downsampling and reflection padding. The weights
are the authors', from the extra `eval`; the network is written here, since importing their package
needs much that is not used.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - torch raises it for a file that it refuses
from textwrap import shorten

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pigeon_rec.errors import ModelError
from pigeon_rec.model.arrays import to_pixels

__all__ = ["ShiftTolerantLpips", "in_batches", "load_weights"]

_PACKAGE = "stlpips_pytorch"
_WEIGHTS = "weights/vST0.0/alex_shift_tolerant.pth"
_BATCH, _LEAST_SIDE = 64, 64

Images = NDArray[np.uint8]


class ShiftTolerantLpips:
    """Distance of two pictures: 0 if equal, about 1 if unrelated.

    Raises:
        ImportError: The extra `eval` is not installed.
        ModelError: Its weights are damaged.
    """

    def __init__(self) -> None:
        self._network = _Network().eval()
        load_weights(self._network, _weights_file())

    @torch.inference_mode()
    def __call__(self, first: Images, second: Images, /) -> NDArray[np.float64]:
        """Two batches uint8 `[n, H, W, 3]` -> distances `[n]`, at least 0."""

        def apart(one: Tensor, other: Tensor) -> Tensor:
            return torch.as_tensor(self._network(_enlarged(one), _enlarged(other)))

        return in_batches(apart, first, second).double().numpy()


def in_batches(function: Callable[..., Tensor], *images: Images) -> Tensor:
    """Calls a function of pixels `[n, 3, H, W]` in [-1, 1] in batches and joins its results.

    Args:
        function: Takes one batch of each of `images`.
        images: uint8 `[n, H, W, 3]`, all of the same length, at least 1.
    """
    batches = [slice(start, start + _BATCH) for start in range(0, len(images[0]), _BATCH)]
    return torch.cat([function(*(to_pixels(part[rows]) for part in images)) for rows in batches])


def load_weights(network: nn.Module, path: Path) -> None:
    """Loads weights from a torch file, without running code from it.

    Raises:
        ModelError: The file is damaged, or belongs to another network.
    """
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        raise ModelError(
            f"the weights cannot be loaded: {shorten(str(error), 300)}",
            location=str(path),
            remedy="Install the extra `eval` again",
        ) from error


def _enlarged(pixels: Tensor) -> Tensor:
    """Pixels with sides of 64 at least: smaller ones would vanish in the network."""
    small = min(pixels.shape[-2:])
    if small >= _LEAST_SIDE:
        return pixels
    return F.interpolate(pixels, scale_factor=_LEAST_SIDE / small, mode="bilinear")


def _weights_file() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ImportError(f"no package {_PACKAGE}: install the extra `eval`")
    return Path(found.origin).parent / _WEIGHTS


class _Network(nn.Module):
    """AlexNet's five stages with one linear layer each; parameter names as in the authors' file."""

    def __init__(self) -> None:
        super().__init__()
        self.scaling_layer = _Scaling()
        self.net = nn.ModuleDict(
            {
                "slice1": _stage(0, nn.Conv2d(3, 64, 11, padding=2), _Blur(64), nn.ReLU()),
                "slice2": _stage(3, *_pool(64), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
                "slice3": _stage(7, *_pool(192), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
                "slice4": _stage(11, nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
                "slice5": _stage(13, nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
            }
        )
        for number, channels in enumerate((64, 192, 384, 256, 256)):
            self.add_module(f"lin{number}", _Linear(channels))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Pixels `[n, 3, H, W]` in [-1, 1], twice -> distances `[n]`."""
        distance = torch.zeros(len(first))
        one, other = self.scaling_layer(first), self.scaling_layer(second)
        for number, stage in enumerate(self.net.values()):
            one, other = stage(one), stage(other)
            squares = (F.normalize(one, dim=1) - F.normalize(other, dim=1)) ** 2
            distance = distance + self.get_submodule(f"lin{number}")(squares).mean((1, 2, 3))
        return distance


def _stage(first: int, *layers: nn.Module) -> nn.Sequential:
    """Layers named by number, from `first`."""
    return nn.Sequential(OrderedDict((str(first + i), layer) for i, layer in enumerate(layers)))


def _pool(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.MaxPool2d(3, stride=1), _Blur(channels)


class _Scaling(nn.Module):
    """Normalises colours with the mean and deviation of LPIPS."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(1, 3, 1, 1))
        self.register_buffer("scale", torch.ones(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.shift) / self.scale


class _Blur(nn.Module):
    """Blur with stride 2 and reflection padding of 2."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", torch.zeros(channels, 1, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), self.filt, stride=2, groups=x.shape[1])


class _Linear(nn.Module):
    """Weighted sum of channels; without training's dropout, which was module 0 in the file."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        weights = nn.Conv2d(channels, 1, 1, bias=False)
        self.model = nn.Sequential(OrderedDict({"1": weights}))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out
