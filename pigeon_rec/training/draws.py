"""Random numbers of a recipe, from its generator and on the generator's device."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["uniform"]


def uniform(random: torch.Generator, *shape: int) -> Tensor:
    """Uniform numbers in [0, 1) of a shape."""
    return torch.rand(shape, generator=random, device=random.device)
