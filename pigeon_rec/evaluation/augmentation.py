"""Data augmentation for training the judges: geometry, colour, sharpness.

Drawn pictures are softer and noisier than artwork, and the concept judge must recognise concepts in
styles it has not seen them in, also in black and white.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CONCEPT_DISTORTION", "STYLE_DISTORTION", "Distortion", "distort"]

_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Distortion:
    """Strength of the augmentation; probabilities are per picture.

    Attributes:
        degrees: Largest rotation in either direction.
        zoom: Largest relative change of size, separately for height and width.
        shift: Largest translation, as a share of the side.
        colour: Largest change of an entry of the colour matrix.
        grey: Probability of greyscale.
        silhouette: Probability of black and white.
        blur: Probability of blur.
        noise: Probability of noise.
        grain: Largest standard deviation of the noise; white to black is 1.
        erased: Probability of a grey box somewhere in the picture.
    """

    degrees: float
    zoom: float
    shift: float
    colour: float
    grey: float
    silhouette: float
    blur: float
    noise: float
    grain: float
    erased: float


STYLE_DISTORTION = Distortion(
    degrees=4.0, zoom=0.08, shift=0.06, colour=0.05,
    grey=0.0, silhouette=0.0, blur=0.3, noise=0.3, grain=0.02, erased=0.1,
)  # fmt: skip
"""Style depends on edges, shading and palette: mostly the geometry changes."""

CONCEPT_DISTORTION = Distortion(
    degrees=14.0, zoom=0.2, shift=0.1, colour=0.35,
    grey=0.2, silhouette=0.12, blur=0.4, noise=0.4, grain=0.04, erased=0.3,
)  # fmt: skip
"""A concept does not depend on colour."""


def distort(pixels: Tensor, how: Distortion, generator: torch.Generator) -> Tensor:
    """Distorts each picture on its own; float32 `[B, 3, H, W]` in [-1, 1] on white, in and out."""
    ink = (1.0 - pixels) / 2.0  # white is 0, so that padding is white
    ink = _placed(ink, how, generator)
    ink = _coloured(ink, how, generator)
    ink = _softened(ink, how, generator)
    return (1.0 - 2.0 * ink).clamp(-1.0, 1.0)


def _placed(ink: Tensor, how: Distortion, generator: torch.Generator) -> Tensor:
    """Rotates, scales and shifts; mirrors half of the pictures."""
    count = len(ink)
    angle = _spread(count, generator) * how.degrees * math.pi / 180.0
    zoom = 1.0 + how.zoom * torch.stack([_spread(count, generator), _spread(count, generator)], 1)
    move = 2.0 * how.shift * torch.stack([_spread(count, generator), _spread(count, generator)], 1)
    mirror = torch.where(_chance(count, 0.5, generator), -1.0, 1.0)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    matrix = turn / zoom.unsqueeze(1)
    matrix = torch.cat([matrix, move.unsqueeze(2)], 2)
    matrix[:, 0] *= mirror[:, None]
    grid = F.affine_grid(matrix, list(ink.shape), align_corners=False)
    return F.grid_sample(ink, grid, padding_mode="zeros", align_corners=False)


def _coloured(ink: Tensor, how: Distortion, generator: torch.Generator) -> Tensor:
    """Changes colours, or makes a greyscale picture or a silhouette; white stays white."""
    count = len(ink)
    change = how.colour * (2.0 * torch.rand(count, 3, 3, generator=generator) - 1.0)
    mixed = torch.einsum("bij,bjhw->bihw", torch.eye(3) + change * 0.5, ink)
    mixed = mixed * (1.0 + how.colour * _spread(count, generator))[:, None, None, None]
    grey = torch.einsum("c,bchw->bhw", torch.tensor(_GREY), ink).unsqueeze(1).expand_as(ink)
    mixed = torch.where(_rows(_chance(count, how.grey, generator)), grey, mixed)
    limit = 0.35 + 0.25 * _spread(count, generator)
    dark = (grey > limit[:, None, None, None]).float()
    mixed = torch.where(_rows(_chance(count, how.silhouette, generator)), dark, mixed)
    return mixed.clamp(0.0, 1.0)


def _softened(ink: Tensor, how: Distortion, generator: torch.Generator) -> Tensor:
    """Blurs, adds noise and draws a grey box."""
    count, _, height, width = ink.shape
    kernel = torch.tensor([0.25, 0.5, 0.25])
    kernel = (kernel[:, None] * kernel[None, :]).expand(3, 1, 3, 3)
    soft = F.conv2d(ink, kernel, padding=1, groups=3)
    part = torch.rand(count, generator=generator) * _chance(count, how.blur, generator)
    ink = torch.lerp(ink, soft, part[:, None, None, None])
    grain = how.grain * torch.rand(count, generator=generator)
    grain = grain * _chance(count, how.noise, generator)
    ink = ink + grain[:, None, None, None] * torch.randn(ink.shape, generator=generator)
    side = 0.35 * torch.rand(count, generator=generator) * _chance(count, how.erased, generator)
    inside = _box(count, height, side, generator)[:, :, None]
    inside = inside & _box(count, width, side, generator)[:, None, :]
    level = torch.rand(count, generator=generator)[:, None, None, None]
    return torch.where(inside.unsqueeze(1), level, ink)


def _box(count: int, length: int, side: Tensor, generator: torch.Generator) -> Tensor:
    """Mask bool `[count, length]` of a random interval of `side` (share of the length)."""
    start = torch.rand(count, generator=generator) * (1.0 - side)
    centre = (torch.arange(length) + 0.5) / length
    return (centre >= start[:, None]) & (centre < (start + side)[:, None])


def _spread(count: int, generator: torch.Generator) -> Tensor:
    """Uniform in [-1, 1], `[count]`."""
    return 2.0 * torch.rand(count, generator=generator) - 1.0


def _chance(count: int, chance: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator) < chance


def _rows(flags: Tensor) -> Tensor:
    return flags[:, None, None, None]
