"""A poster while it is painted: colours in floating point, and the textures of paper and paint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask, Warp
from pigeon_rec.demo.posters.shapes import Points, Random

__all__ = ["Canvas", "Colour", "clipped", "columns", "noise", "rows", "shifted", "wobble"]

Colour = NDArray[np.float32]
"""`[3]`, red, green and blue, 0..1."""


class Canvas:
    """An image under construction.

    Attributes:
        pixels: float32 `[240, 160, 3]`, 0..1.
    """

    def __init__(self, ground: Colour) -> None:
        self.pixels = np.broadcast_to(ground, (HEIGHT, WIDTH, 3)).astype(np.float32)

    def paint(self, mask: Mask, colour: Colour, opacity: float = 1.0) -> None:
        """Covers the masked area with a colour."""
        share = (mask * np.float32(opacity))[..., None]
        self.pixels += share * (colour - self.pixels)

    def multiply(self, mask: Mask, colour: Colour, opacity: float = 1.0) -> None:
        """Lays a transparent colour over the masked area, which becomes darker."""
        share = (mask * np.float32(opacity))[..., None]
        self.pixels *= 1 - share * (1 - colour)

    def glow(self, mask: Mask, colour: Colour, opacity: float = 1.0) -> None:
        """Adds light of a colour to the masked area."""
        share = np.clip(mask * np.float32(opacity), 0, 1)[..., None]
        self.pixels += (1 - self.pixels) * share * colour

    def shade(self, factor: Mask) -> None:
        """Multiplies all colours of a pixel by a factor."""
        self.pixels *= factor[..., None]

    def image(self) -> Image.Image:
        """The finished picture, RGB."""
        return Image.fromarray((np.clip(self.pixels, 0, 1) * 255 + 0.5).astype(np.uint8))


def clipped(values: NDArray[np.floating[Any]]) -> Mask:
    """The values, kept within 0..1."""
    mask: Mask = np.clip(values, 0, 1).astype(np.float32)
    return mask


def columns() -> Mask:
    """X of every pixel, in pixels."""
    return np.broadcast_to(np.arange(WIDTH, dtype=np.float32), (HEIGHT, WIDTH))


def rows() -> Mask:
    """Y of every pixel, in pixels."""
    return np.broadcast_to(np.arange(HEIGHT, dtype=np.float32)[:, None], (HEIGHT, WIDTH))


def noise(random: Random, cell: float) -> Mask:
    """Random values of -1..1 that change smoothly over `cell` pixels."""
    size = (max(2, round(WIDTH / cell)), max(2, round(HEIGHT / cell)))
    values = random.uniform(-1, 1, size=size[::-1]).astype(np.float32)
    if cell <= 1:
        return values
    smooth = Image.fromarray(values).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float32)


def shifted(mask: Mask, right: int, down: int) -> Mask:
    """The mask moved by whole pixels; nothing comes in at the edges."""
    moved = np.zeros_like(mask)
    to = (slice(max(down, 0), HEIGHT + min(down, 0)), slice(max(right, 0), WIDTH + min(right, 0)))
    of = (slice(max(-down, 0), HEIGHT - max(down, 0)), slice(max(-right, 0), WIDTH - max(right, 0)))
    moved[to] = mask[of]
    return moved


def wobble(random: Random, amount: float, waves: float) -> Warp:
    """Moves outlines by up to about `amount`, in `waves` waves over the poster's width."""
    phases = random.uniform(0, 2 * math.pi, size=6)
    turns = 2 * math.pi * waves * random.uniform(0.7, 1.3, size=6)

    def warp(points: Points) -> Points:
        x, y = points[:, 0], points[:, 1]
        right = np.sin(turns[0] * y + phases[0]) + np.sin(turns[1] * (x + y) + phases[1])
        down = np.sin(turns[2] * x + phases[2]) + np.sin(turns[3] * (x - y) + phases[3])
        shift: Points = amount / 2 * np.stack([right, down], axis=1)
        return points + shift

    return warp
