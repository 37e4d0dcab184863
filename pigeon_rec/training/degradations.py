"""Degradations of training images: blur, resampling, noise and JPEG, on the device of the pixels.

Generated pictures are softer and noisier than artwork. A degradation leaves style and concept as
they are; a recipe that must see through it trains on degraded images as well.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.training.draws import uniform

__all__ = ["degraded"]

_GREY = (0.299, 0.587, 0.114)
_BLOCK: Final = 8  # side of JPEG's blocks


def degraded(pixels: Tensor, share: float, random: torch.Generator) -> Tensor:
    """Degrades that share of the images `[n, 3, H, W]` in [-1, 1], each in its own way."""
    worse = torch.where(_chance(pixels, 0.6, random), _blurred(pixels, random), pixels)
    worse = torch.where(_chance(pixels, 0.2, random), _resampled(pixels, random), worse)
    noise = 0.12 * _uniform(pixels, random) * _chance(pixels, 0.4, random)
    grain = torch.randn(worse.shape, generator=random, device=random.device)
    worse = (worse + noise * grain).clamp(-1.0, 1.0)
    worse = torch.where(_chance(pixels, 0.5, random), _jpeg(worse, random), worse)
    return torch.where(_chance(pixels, share, random), worse, pixels)


def _blurred(pixels: Tensor, random: torch.Generator) -> Tensor:
    """Gaussian blur with a deviation of 0.2 to 1 pixel."""
    offsets = torch.arange(-2.0, 3.0, device=pixels.device)
    kernel = torch.exp(-offsets.square() / (2.0 * (0.2 + 0.8 * _uniform(pixels, random)).square()))
    kernel = kernel.flatten(1) / kernel.flatten(1).sum(1, keepdim=True)  # [B, 5]
    # Each image is blurred by its own kernel: a channel group per image and colour.
    weights = kernel.repeat_interleave(3, 0)[:, None, :, None]
    padded = F.pad(pixels, (2, 2, 2, 2), value=1.0).flatten(0, 1)[None]
    rows = F.conv2d(padded, weights, groups=len(weights))
    return F.conv2d(rows, weights.transpose(2, 3), groups=len(weights)).view_as(pixels)


def _resampled(pixels: Tensor, random: torch.Generator) -> Tensor:
    """Between the image and the same at half the size, enlarged."""
    small = F.interpolate(pixels, scale_factor=0.5, mode="area")
    large = F.interpolate(small, size=pixels.shape[-2:], mode="bilinear")
    return torch.lerp(pixels, large, _uniform(pixels, random))


def _jpeg(pixels: Tensor, random: torch.Generator) -> Tensor:
    """Rounds the cosine transform of 8 x 8 blocks, as JPEG at a quality of about 35 to 95.

    Steps grow with frequency as in the standard's table, and are coarser for the two colour axes.
    """
    count, _, *sides = pixels.shape
    height, width = (-(-side // _BLOCK) * _BLOCK for side in sides)
    pixels = F.pad(pixels, (0, width - sides[1], 0, height - sides[0]), value=1.0)
    to_axes = pixels.new_tensor(
        [_GREY, (-0.1687, -0.3313, 0.5), (0.5, -0.4187, -0.0813)]
    )  # luma and two colour differences
    places = torch.arange(_BLOCK, device=pixels.device)
    cosines = torch.cos((2 * places[None] + 1) * places[:, None] * math.pi / (2 * _BLOCK)) / 2.0
    cosines[0] /= 2.0**0.5
    steps = (10.0 + 6.0 * (places[:, None] + places[None])) / 127.5  # [8, 8]
    steps = steps * (0.1 + 1.3 * _uniform(pixels, random).square())[:, :, None, None]
    steps = steps * pixels.new_tensor([1.0, 1.6, 1.6]).view(3, 1, 1, 1, 1)
    shape = (count, 3, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    axes = torch.einsum("ij,bjhw->bihw", to_axes, pixels).reshape(shape).transpose(3, 4)
    rounded = (cosines @ axes @ cosines.T / steps).round() * steps
    axes = (cosines.T @ rounded @ cosines).transpose(3, 4).reshape(pixels.shape)
    decoded = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(to_axes), axes).clamp(-1.0, 1.0)
    return decoded[..., : sides[0], : sides[1]]


def _uniform(pixels: Tensor, random: torch.Generator) -> Tensor:
    """A number in [0, 1) for each image, `[B, 1, 1, 1]`."""
    return uniform(random, len(pixels), 1, 1, 1)


def _chance(pixels: Tensor, chance: float, random: torch.Generator) -> Tensor:
    return _uniform(pixels, random) < chance
