"""The network of a judge: a small residual convolutional network (He et al., CVPR 2016)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from pigeon_rec.runtime.settings import Positive, Settings

__all__ = ["JudgeNetwork", "NetworkConfig"]


class NetworkConfig(Settings):
    """Sizes of a judge's network.

    Attributes:
        patch: Side of the pixel blocks that the first layer sees as one position.
        widths: Channels of the first layer and of each residual block; a block halves the sides.
        dimensions: Dimension of the embedding.
    """

    patch: Positive = 2
    widths: Annotated[tuple[Positive, ...], Field(min_length=2)] = (24, 48, 96, 128)
    dimensions: Positive = 64


class JudgeNetwork(nn.Module):
    """Pictures `[B, 3, H, W]` in [-1, 1] -> unit vectors `[B, dimensions]`, at any size."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.widths[0], config.widths[-1]
        self.stem = _convolution(3 * config.patch**2, first)
        self.blocks = nn.Sequential(*(_Block(*sizes) for sizes in pairwise(config.widths)))
        self.head = nn.Linear(last, config.dimensions)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeds pictures."""
        patches = F.pixel_unshuffle(pixels, self.config.patch)
        maps: Tensor = self.blocks(self.stem(patches).relu())
        return F.normalize(self.head(maps.mean((2, 3))), dim=1)


class _Block(nn.Module):
    """Two convolutions and a shortcut; halves the sides."""

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        self.first = _convolution(channels, wider, stride=2)
        self.second = _convolution(wider, wider)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), _convolution(channels, wider, size=1))

    def forward(self, maps: Tensor) -> Tensor:
        inner: Tensor = self.second(self.first(maps).relu())
        return (inner + self.shortcut(maps)).relu()


def _convolution(channels: int, wider: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, wider, size, stride, size // 2, bias=False), nn.BatchNorm2d(wider)
    )
