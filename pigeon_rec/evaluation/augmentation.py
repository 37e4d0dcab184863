"""Data augmentation for training the judges: geometry and colour.

The concept judge must recognise concepts in styles it has not seen them in, also in black and
white. Loss of quality is the subject of `pigeon_rec.evaluation.degradations`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CONCEPT_DISTORTION", "STYLE_DISTORTION", "Distortion", "distort", "moved"]

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
        erased: Probability of a grey box somewhere in the picture.
        mirror: Probability of a mirror image.
    """

    degrees: float
    zoom: float
    shift: float
    colour: float
    grey: float
    silhouette: float
    erased: float
    mirror: float


STYLE_DISTORTION = Distortion(
    degrees=4.0, zoom=0.08, shift=0.06, colour=0.05,
    grey=0.0, silhouette=0.0, erased=0.1, mirror=0.5,
)  # fmt: skip
"""Style depends on edges, shading and palette: mostly the geometry changes."""

CONCEPT_DISTORTION = Distortion(
    degrees=6.0, zoom=0.1, shift=0.04, colour=0.35,
    grey=0.2, silhouette=0.1, erased=0.2, mirror=0.0,
)  # fmt: skip
"""A concept does not depend on colour, but a hand or a letter on its side."""


def moved(
    images: NDArray[np.uint8], random: np.random.Generator, reach: int, mirror: float
) -> NDArray[np.uint8]:
    """Moves each picture by up to `reach` pixels over white; `mirror`: chance of a mirror image.

    uint8 `[n, H, W, 3]`, in and out; no pixel is interpolated.
    """
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), constant_values=255)
    rows = random.integers(0, 2 * reach + 1, count)[:, None] + np.arange(height)
    columns = random.integers(0, 2 * reach + 1, count)[:, None] + np.arange(width)
    columns = np.where(random.random(count)[:, None] < mirror, columns[:, ::-1], columns)
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def distort(pixels: Tensor, how: Distortion, generator: torch.Generator) -> Tensor:
    """Distorts each picture on its own; float32 `[B, 3, H, W]` in [-1, 1] on white, in and out."""
    ink = (1.0 - pixels) / 2.0  # white is 0, so that padding is white
    ink = _placed(ink, how, generator)
    ink = _coloured(ink, how, generator)
    ink = _erased(ink, how, generator)
    return (1.0 - 2.0 * ink).clamp(-1.0, 1.0)


def _placed(ink: Tensor, how: Distortion, generator: torch.Generator) -> Tensor:
    """Rotates, scales and shifts; mirrors."""
    count = len(ink)
    angle = _spread(count, generator) * how.degrees * math.pi / 180.0
    zoom = 1.0 + how.zoom * torch.stack([_spread(count, generator), _spread(count, generator)], 1)
    move = 2.0 * how.shift * torch.stack([_spread(count, generator), _spread(count, generator)], 1)
    mirror = torch.where(_chance(count, how.mirror, generator), -1.0, 1.0)
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


def _erased(ink: Tensor, how: Distortion, generator: torch.Generator) -> Tensor:
    """Draws a grey box."""
    count, _, height, width = ink.shape
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
