"""Conversion of images to pixels in [-1, 1] and back, and batches of one shape."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["fixed_batches", "to_levels", "to_pixels"]


def to_pixels(images: NDArray[np.uint8]) -> Tensor:
    """uint8 `[n, H, W, 3]` -> float32 `[n, 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_levels(pixels: Tensor) -> Tensor:
    """`[n, 3, H, W]` in about [-1, 1] -> uint8 `[n, H, W, 3]`, clipped."""
    return ((pixels.permute(0, 2, 3, 1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def fixed_batches(count: int, size: int) -> list[NDArray[np.int64]]:
    """Returns row numbers 0 to `count - 1` in batches of exactly `size`, int64 `[size]` each.

    The last batch repeats the last row to fill up: with one shape there is one order of sums, so a
    row's result does not depend on the number of rows. There is no batch if `count` is 0.
    """
    starts = range(0, count, size)
    return [np.minimum(np.arange(start, start + size), count - 1) for start in starts]
