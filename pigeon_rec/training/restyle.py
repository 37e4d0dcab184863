"""Restyling samples: synthetic histories, references and targets for the language model.

The history shows one style, and the target is a concept in that style. The reference is the same
concept in another style, or for some samples the target itself, as in the published stage 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pigeon_rec.training.artwork import TrainingArtwork

__all__ = ["RestyleBatch", "RestyleSamples", "other_style"]


def other_style(
    artwork: TrainingArtwork,
    target: NDArray[np.int64],
    same_reference: float,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Draws references: the concept of each target in a random other style.

    Args:
        artwork: The artwork.
        target: int64 `[n]` artwork rows.
        same_reference: Share of references that are the target itself, as published. Concepts
            that exist in one style only always use the target.
        random: Draws the styles, then which references are the target.

    Returns:
        int64 `[n]` artwork rows.
    """
    place = np.arange(len(target))
    alternatives = artwork.at[artwork.concept[target]]  # [n, styles]
    order = random.random(alternatives.shape)
    order[alternatives < 0] = 2.0
    order[place, artwork.style[target]] = 2.0
    best = order.argmin(1)
    only_style = order[place, best] >= 2.0
    itself = only_style | (random.random(len(target)) < same_reference)
    return np.where(itself, target, alternatives[place, best])


@dataclass(frozen=True)
class RestyleBatch:
    """Artwork rows; a row index plus `len(artwork)` means the mirror image.

    Attributes:
        history: int64 `[users, history_length]`.
        reference: int64 `[users, targets]`.
        target: int64 `[users, targets]`.
    """

    history: Tensor
    reference: Tensor
    target: Tensor


class RestyleSamples:
    """Draws restyling samples.

    Args:
        artwork: The artwork.
        history_length: Images of a history.
        noise: Share of history images that are of any style.
        same_reference: Share of references that are the target itself.
        same_category: Share of users whose history and targets share one category.
    """

    def __init__(
        self,
        artwork: TrainingArtwork,
        history_length: int = 5,
        noise: float = 0.15,
        same_reference: float = 0.1,
        same_category: float = 0.6,
    ) -> None:
        self.artwork = artwork
        self.history_length = history_length
        self.noise, self.same_reference = noise, same_reference
        self.same_category = same_category
        category = artwork.rows["category"].to_numpy().astype(str)
        self._pools = [
            [np.flatnonzero((artwork.style == s) & (category == c)) for c in np.unique(category)]
            for s in range(len(artwork.styles))
        ]
        self._by_style = [np.flatnonzero(artwork.style == s) for s in range(len(artwork.styles))]

    def draw(self, users: int, targets: int, random: np.random.Generator) -> RestyleBatch:
        """Draws samples of `users` users with `targets` targets each."""
        drawn = [self._user(targets, random) for _ in range(users)]
        history, reference, target = (
            torch.from_numpy(np.stack(x)) for x in zip(*drawn, strict=True)
        )
        return RestyleBatch(history, reference, target)

    def _user(
        self, targets: int, random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        style = int(random.integers(len(self._pools)))
        pool = self._pool(style, targets + self.history_length, random)
        chosen = random.choice(pool, targets + self.history_length, replace=False)
        history, target = chosen[: self.history_length], chosen[self.history_length :]
        noisy = random.random(self.history_length) < self.noise
        any_row = random.integers(0, len(self.artwork), self.history_length)
        history = np.where(noisy, any_row, history)
        reference = other_style(self.artwork, target, self.same_reference, random)
        mirror = len(self.artwork) * int(random.random() < 0.5)
        return history + mirror, reference + mirror, target + mirror

    def _pool(self, style: int, least: int, random: np.random.Generator) -> NDArray[np.int64]:
        pools = [p for p in self._pools[style] if len(p) >= least]
        if random.random() >= self.same_category or not pools:
            return self._by_style[style]
        sizes = np.array([len(p) for p in pools], dtype=float)
        return pools[int(random.choice(len(pools), p=sizes / sizes.sum()))]
