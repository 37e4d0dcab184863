"""Random numbers derived from keys: the same key gives the same numbers in any batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["gumbel_noise", "normal_noise"]


def _generators(keys: Sequence[str], purpose: str) -> list[np.random.Generator]:
    digests = (hashlib.sha256(f"{key}/{purpose}".encode()).digest() for key in keys)
    return [
        np.random.Generator(np.random.Philox(key=int.from_bytes(d[:16], "big"))) for d in digests
    ]


def normal_noise(keys: Sequence[str], purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 `[len(keys), *shape]`; row i depends on `keys[i]` and `purpose`."""
    rows = [g.standard_normal(shape) for g in _generators(keys, purpose)]
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def gumbel_noise(keys: Sequence[str], purpose: str, shape: tuple[int, ...]) -> Tensor:
    """Gumbel(0, 1) float32 `[len(keys), *shape]`; row i depends on `keys[i]` and `purpose`."""
    rows = [g.gumbel(size=shape) for g in _generators(keys, purpose)]
    return torch.from_numpy(np.stack(rows).astype(np.float32))
