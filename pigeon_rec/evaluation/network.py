"""The networks of the judges: small residual convolutional networks (He et al., CVPR 2016).

Each starts from fixed descriptors that suit its question, so that little artwork teaches much: the
style network also sees palette and texture, the concept network sees oriented gradients (Dalal and
Triggs, CVPR 2005) instead of pixels. Neither shares anything with the scorer, a patch transformer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from pigeon_rec.model.arrays import fixed_batches, to_pixels
from pigeon_rec.runtime.settings import Positive, Settings

__all__ = ["JudgeNetwork", "NetworkConfig", "embed", "gradient_maps", "palette", "texture"]

_BATCH: Final = 32
_INK: Final = 0.06
"""A pixel at least this far from white in any channel is ink."""
_LEVELS: Final = 6
"""Levels of each colour channel in a palette."""
_OCTAVES: Final = 12
"""Logarithmic bins of the size of a change of colour."""
_SHADES: Final = 6
"""Bins of lightness, for edges by lightness."""
_TEXTURE: Final = (6 + _SHADES) * _OCTAVES
"""Features of `texture`."""
_CELLS: Final = 16
"""Rows and columns of the gradient maps."""
_TURNS: Final = 8
"""Directions of the gradient maps."""
_GREY: Final = (0.299, 0.587, 0.114)


class NetworkConfig(Settings):
    """Sizes of a judge's network.

    Attributes:
        kind: `style`, or `concept` for what a picture shows.
        image_size: Side of the pictures in pixels; pictures of another size are resized.
        widths: Channels of the first layer and of each residual block; a block halves the sides.
        dimensions: Dimension of the embedding.
    """

    kind: Literal["style", "concept"]
    image_size: Positive = 64
    widths: Annotated[tuple[Positive, ...], Field(min_length=2)]
    dimensions: Positive


class JudgeNetwork(nn.Module):
    """Pictures -> unit vectors; pictures of any size work."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.body = _BODIES[config.kind](config)

    def forward(self, pixels: Tensor) -> Tensor:
        """Float32 `[B, 3, H, W]` in [-1, 1] on white -> unit vectors `[B, dimensions]`."""
        return F.normalize(self.body(pixels), dim=1)


@torch.no_grad()
def embed(network: JudgeNetwork, images: NDArray[np.uint8]) -> Tensor:
    """Embeds pictures: uint8 `[n, H, W, 3]` -> unit vectors float32 `[n, dimensions]`.

    A picture's vector does not depend on the others.
    """
    vectors, side = torch.zeros(len(images), network.config.dimensions), network.config.image_size
    for rows in fixed_batches(len(images), _BATCH):
        pixels = to_pixels(images[rows])
        if pixels.shape[-2:] != (side, side):
            pixels = F.interpolate(pixels, (side, side), mode="area")
        vectors[rows] = network(pixels)
    return vectors


class _StyleBody(nn.Module):
    """Textures, wherever they are, and the palette."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        described = _LEVELS**3 + _TEXTURE + 2 * config.widths[-1]
        self.stem = _convolution(12, config.widths[0])
        self.blocks = _blocks(config.widths)
        self.hidden = nn.Sequential(
            nn.BatchNorm1d(described),
            nn.Linear(described, _HIDDEN),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.1),
        )
        self.head = nn.Linear(_HIDDEN, config.dimensions)

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.blocks(self.stem(_channels_last(F.pixel_unshuffle(pixels, 2))).relu())
        described = [palette(pixels), texture(pixels), maps.mean((2, 3)), maps.amax((2, 3))]
        embedded: Tensor = self.head(self.hidden(torch.cat(described, dim=1)))
        return embedded


class _ConceptBody(nn.Module):
    """Directions of edges, and where they are."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        side = _CELLS // 2 ** (len(config.widths) - 1)
        self.norm = nn.BatchNorm2d(2 * _TURNS + 4)
        self.stem = _convolution(2 * _TURNS + 4, config.widths[0])
        self.blocks = _blocks(config.widths)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(side**2 * config.widths[-1], config.dimensions)

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.blocks(self.stem(_channels_last(self.norm(gradient_maps(pixels)))).relu())
        embedded: Tensor = self.head(self.dropout(maps.contiguous().flatten(1)))
        return embedded


_HIDDEN: Final = 192
_BODIES: Final[Mapping[str, type[_StyleBody | _ConceptBody]]] = MappingProxyType(
    {"style": _StyleBody, "concept": _ConceptBody}
)


@torch.no_grad()
def palette(pixels: Tensor) -> Tensor:
    """Square root of the share of ink of each of 216 colours, `[B, 216]`.

    A pixel counts for the eight colours around its own, the nearer the more.
    """
    unit = ((pixels + 1.0) / 2.0).clamp(0.0, 1.0)
    ink = _ink(unit).flatten(1)
    level = unit.flatten(2) * (_LEVELS - 1)
    low = level.floor().clamp(max=_LEVELS - 2)
    part, low = level - low, low.long()
    shares = pixels.new_zeros(len(pixels), _LEVELS**3)
    for corner in range(8):
        bits = [corner >> channel & 1 for channel in range(3)]
        place = torch.zeros_like(low[:, 0])
        weight = ink
        for channel, bit in enumerate(bits):
            place = place * _LEVELS + low[:, channel] + bit
            weight = weight * (part[:, channel] if bit else 1.0 - part[:, channel])
        shares.scatter_add_(1, place, weight)
    return (shares / (ink.sum(1, keepdim=True) + 1.0)).sqrt()


@torch.no_grad()
def texture(pixels: Tensor) -> Tensor:
    """Square root of the share of ink by the size of its changes of colour, `[B, 144]`.

    First and second differences in grey and two colour contrasts; then first differences in grey
    by lightness. Shading, flat fills and outlines differ in them.
    """
    unit = ((pixels + 1.0) / 2.0).clamp(0.0, 1.0)
    ink = _ink(unit).flatten(1)
    grey = torch.einsum("c,bchw->bhw", unit.new_tensor(_GREY), unit)
    channels = torch.stack([grey, 1.5 * (unit[:, 2] - grey), 1.5 * (unit[:, 0] - grey)], dim=1)
    down, across = _differences(channels)
    bend = _differences(down)[0].abs() + _differences(across)[1].abs()
    edge = torch.hypot(down, across)
    sizes = _octaves(torch.cat([edge, bend], dim=1)).flatten(2)  # [B, 6, H * W]
    shade = (grey.flatten(1) * _SHADES).long().clamp(max=_SHADES - 1)
    shares = [_shares(sizes[:, kind], ink, _OCTAVES) for kind in range(6)]
    return torch.cat([*shares, _shares(shade * _OCTAVES + sizes[:, 0], ink, _TEXTURE // 2)], dim=1)


@torch.no_grad()
def gradient_maps(pixels: Tensor) -> Tensor:
    """Oriented gradients of grey and silhouette, colour and silhouette, `[B, 20, 16, 16]`."""
    ink = (1.0 - pixels) / 2.0
    mask = _ink(1.0 - ink)
    grey = torch.einsum("c,bchw->bhw", ink.new_tensor(_GREY), ink)
    pooled = F.adaptive_avg_pool2d(torch.cat([ink, mask.unsqueeze(1)], dim=1), _CELLS)
    return torch.cat([_oriented(grey), _oriented(mask), 2.0 * pooled], dim=1)


def _differences(channels: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the pixel above and to the left, 0 at the border."""
    down = F.pad(channels.diff(dim=-2), (0, 0, 1, 0))
    return down, F.pad(channels.diff(dim=-1), (1, 0))


def _octaves(change: Tensor) -> Tensor:
    """Logarithmic bins of the size of a change in [0, 1.5]; the first is for no change."""
    return (torch.log2(change * 255.0 + 1.0) * 1.5).long().clamp(max=_OCTAVES - 1)


def _shares(bins: Tensor, ink: Tensor, count: int) -> Tensor:
    """Square root of the share of ink in each bin, `[B, count]`."""
    found = ink.new_zeros(len(ink), count).scatter_add_(1, bins, ink)
    return (found / (ink.sum(1, keepdim=True) + 1.0)).sqrt()


def _ink(unit: Tensor) -> Tensor:
    """Mask of the ink: `[B, 3, H, W]` in [0, 1] -> 0 or 1, `[B, H, W]`."""
    return ((1.0 - unit).amax(1) > _INK).float()


def _oriented(channel: Tensor) -> Tensor:
    """Square root of the size of edges by direction and cell, relative to the picture's mean."""
    framed = F.pad(channel.unsqueeze(1), (1, 1, 1, 1), mode="replicate").squeeze(1)
    down = (framed[:, 2:, 1:-1] - framed[:, :-2, 1:-1]) / 2.0
    across = (framed[:, 1:-1, 2:] - framed[:, 1:-1, :-2]) / 2.0
    turn = torch.remainder(torch.atan2(down, across), math.pi) / math.pi * _TURNS
    apart = (turn.unsqueeze(1) - torch.arange(_TURNS).view(1, -1, 1, 1)).abs()
    near = (1.0 - torch.minimum(apart, _TURNS - apart)).clamp(min=0.0)
    size = torch.sqrt(down.square() + across.square() + 1e-12)
    found = F.adaptive_avg_pool2d(near * size.unsqueeze(1), _CELLS)
    return (found / (found.mean((1, 2, 3), keepdim=True) + 1e-3)).clamp(max=60.0).sqrt()


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


def _blocks(widths: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(*(_Block(*sizes) for sizes in pairwise(widths)))


def _convolution(channels: int, wider: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution with batch normalisation, in the memory order that is fast on a CPU."""
    layers = nn.Sequential(
        nn.Conv2d(channels, wider, size, stride, size // 2, bias=False), nn.BatchNorm2d(wider)
    )
    nn.utils.convert_conv2d_weight_memory_format(layers, torch.channels_last)
    return layers


def _channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)
