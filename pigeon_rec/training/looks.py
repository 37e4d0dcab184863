"""Made looks and degradations of pictures, for the style part of the scorer.

A made look is applied alike to several pictures of one style and gives a style that no artwork has.
A degradation (blur, resampling, noise, JPEG) leaves the style as it is: drawn pictures are softer
than artwork. Pixels are float32 `[B, 3, H, W]` in [-1, 1] on white, which stays white.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LOOKS", "Look", "degraded", "made_look"]

Look = Callable[[Tensor, Sequence[float]], Tensor]
"""Takes levels `[B, 3, H, W]` in [0, 1] and eight numbers in [0, 1); returns levels."""

_GREY = (0.299, 0.587, 0.114)
_COLOUR_ORDERS = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
_BLOCK: Final = 8  # side of JPEG's blocks


def made_look(pixels: Tensor, names: Sequence[str], numbers: Sequence[float]) -> Tensor:
    """Applies the named looks in turn, each with the same eight numbers in [0, 1)."""
    levels = (pixels + 1.0) / 2.0
    for name in names:
        levels = LOOKS[name](levels, numbers).clamp(0.0, 1.0)
    return levels * 2.0 - 1.0


def _permuted(levels: Tensor, numbers: Sequence[float]) -> Tensor:
    return levels[:, _COLOUR_ORDERS[int(numbers[0] * len(_COLOUR_ORDERS))]]


def _turned(levels: Tensor, numbers: Sequence[float]) -> Tensor:
    """Turns the hue by at least 30 degrees, about the grey axis."""
    angle = 2.0 * math.pi * (1.0 + 10.0 * numbers[1]) / 12.0
    cross = levels.new_tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / 3.0**0.5
    mean = levels.new_full((3, 3), 1.0 / 3.0)
    turn = math.cos(angle) * torch.eye(3, device=levels.device) + (1.0 - math.cos(angle)) * mean
    turn = turn + math.sin(angle) * cross
    return torch.einsum("ij,bjhw->bihw", turn, levels - 1.0) + 1.0


def _duotone(levels: Tensor, numbers: Sequence[float]) -> Tensor:
    dark = _colour(levels, numbers[2:5], 0.8)
    return dark + (1.0 - dark) * _grey(levels)


def _contrasted(levels: Tensor, numbers: Sequence[float]) -> Tensor:
    """Pale and grey, or strong and gaudy."""
    grey = _grey(levels)
    saturated = grey + (1.8 * numbers[5]) * (levels - grey)
    return 1.0 + (saturated - 1.0) * (0.5 + numbers[6])


def _few_levels(levels: Tensor, numbers: Sequence[float]) -> Tensor:
    steps = 1 + int(numbers[7] * 3)
    return (levels * steps).round() / steps


def _outlined(levels: Tensor, numbers: Sequence[float]) -> Tensor:
    """Dark lines where levels jump, over a fill that may be pale or none."""
    jump = F.max_pool2d(levels, 3, 1, 1) + F.max_pool2d(-levels, 3, 1, 1)
    line = ((jump.amax(1, keepdim=True) - 0.12 - 0.2 * numbers[0]) * 6.0).clamp(0.0, 1.0)
    kept = 0.0 if numbers[1] < 0.35 else 0.5 + 0.5 * numbers[1]
    fill = 1.0 - (1.0 - levels) * kept
    return fill * (1.0 - line) + _colour(levels, numbers[2:5], 0.45) * line


def _lit(levels: Tensor, numbers: Sequence[float]) -> Tensor:
    """Lighter towards the top and darker towards the bottom, or the reverse."""
    strength = (0.3 + 0.4 * numbers[5]) * (1.0 if numbers[6] < 0.5 else -1.0)
    down = torch.linspace(-1.0, 1.0, levels.shape[-2], device=levels.device)[:, None]
    ink = 1.0 - levels.amin(1, keepdim=True)
    return levels - ink * strength * down


def _striped(levels: Tensor, numbers: Sequence[float]) -> Tensor:
    """Paler every few rows or columns."""
    period = 2 + int(numbers[7] * 3)
    places = torch.arange(levels.shape[-1], device=levels.device)
    stripe = (places % period == 0).float() * (0.4 + 0.5 * numbers[0])
    stripe = stripe[:, None] if numbers[1] < 0.5 else stripe[None, :]
    return 1.0 - (1.0 - levels) * (1.0 - stripe)


LOOKS: Final[Mapping[str, Look]] = MappingProxyType(
    {
        "permuted": _permuted,
        "turned": _turned,
        "duotone": _duotone,
        "contrasted": _contrasted,
        "few levels": _few_levels,
        "outlined": _outlined,
        "lit": _lit,
        "striped": _striped,
    }
)
"""Made looks by name."""


def degraded(pixels: Tensor, share: float) -> Tensor:
    """Degrades that share of the pictures, each in its own way, by torch's global generator."""
    worse = torch.where(_chance(pixels, 0.6), _blurred(pixels), pixels)
    worse = torch.where(_chance(pixels, 0.2), _resampled(pixels), worse)
    noise = 0.12 * _uniform(pixels) * _chance(pixels, 0.4)
    worse = (worse + noise * torch.randn_like(worse)).clamp(-1.0, 1.0)
    worse = torch.where(_chance(pixels, 0.5), _jpeg(worse), worse)
    return torch.where(_chance(pixels, share), worse, pixels)


def _blurred(pixels: Tensor) -> Tensor:
    """Gaussian blur with a deviation of 0.2 to 1 pixel."""
    offsets = torch.arange(-2.0, 3.0, device=pixels.device)
    kernel = torch.exp(-offsets.square() / (2.0 * (0.2 + 0.8 * _uniform(pixels)).square()))
    kernel = kernel.flatten(1) / kernel.flatten(1).sum(1, keepdim=True)  # [B, 5]
    # Each picture is blurred by its own kernel: a channel group per picture and colour.
    weights = kernel.repeat_interleave(3, 0)[:, None, :, None]
    padded = F.pad(pixels, (2, 2, 2, 2), value=1.0).flatten(0, 1)[None]
    rows = F.conv2d(padded, weights, groups=len(weights))
    return F.conv2d(rows, weights.transpose(2, 3), groups=len(weights)).view_as(pixels)


def _resampled(pixels: Tensor) -> Tensor:
    """Between the picture and the same at half the size, enlarged."""
    small = F.interpolate(pixels, scale_factor=0.5, mode="area")
    large = F.interpolate(small, size=pixels.shape[-2:], mode="bilinear")
    return torch.lerp(pixels, large, _uniform(pixels))


def _jpeg(pixels: Tensor) -> Tensor:
    """Rounds the cosine transform of 8 x 8 blocks, as JPEG at a quality of about 35 to 95.

    Steps grow with frequency as in the standard's table, and are coarser for the two colour axes.
    """
    count, _, height, width = pixels.shape
    to_axes = pixels.new_tensor(
        [_GREY, (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813)]
    )  # luma and two colour differences
    places = torch.arange(_BLOCK, device=pixels.device)
    cosines = torch.cos((2 * places[None] + 1) * places[:, None] * math.pi / (2 * _BLOCK)) / 2.0
    cosines[0] /= 2.0**0.5
    steps = (10.0 + 6.0 * (places[:, None] + places[None])) / 127.5  # [8, 8]
    steps = steps * (0.1 + 1.3 * _uniform(pixels).square())[:, :, None, None]
    steps = steps * pixels.new_tensor([1.0, 1.6, 1.6]).view(3, 1, 1, 1, 1)
    shape = (count, 3, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    axes = torch.einsum("ij,bjhw->bihw", to_axes, pixels).reshape(shape).transpose(3, 4)
    rounded = (cosines @ axes @ cosines.T / steps).round() * steps
    axes = (cosines.T @ rounded @ cosines).transpose(3, 4).reshape(pixels.shape)
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_axes), axes).clamp(-1.0, 1.0)


def _uniform(pixels: Tensor) -> Tensor:
    """A number in [0, 1) for each picture, `[B, 1, 1, 1]`."""
    return torch.rand(len(pixels), 1, 1, 1, device=pixels.device)


def _chance(pixels: Tensor, chance: float) -> Tensor:
    return _uniform(pixels) < chance


def _grey(levels: Tensor) -> Tensor:
    return (levels * levels.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True)


def _colour(levels: Tensor, numbers: Sequence[float], brightest: float) -> Tensor:
    return levels.new_tensor(list(numbers)).view(1, 3, 1, 1) * brightest
