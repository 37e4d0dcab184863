"""Training cases for the personalisation module: a user's history, references, and the truth.

A case asks for a concept in the style its history shows, given that concept's picture in another
style: the reference is augmented so that meaning stays and style changes. In some cases the
reference is the target itself, as in the published stage 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pigeon_rec.training.artwork import TrainingArtwork

__all__ = ["RestyleBatch", "RestyleCases", "other_style"]


def other_style(
    stickers: TrainingArtwork,
    target: NDArray[np.int64],
    same_reference: float,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """References: the targets' concepts, each in a random other style.

    Args:
        stickers: The artwork.
        target: int64 `[n]` sticker rows.
        same_reference: Share of references that are the target itself, as published. So is every
            reference to a concept that exists in one style only.
        random: Draws the styles, then which references are the target.

    Returns:
        int64 `[n]` sticker rows.
    """
    place = np.arange(len(target))
    pictures = stickers.at[stickers.concept[target]]  # [n, styles]
    order = random.random(pictures.shape)
    order[pictures < 0] = 2.0
    order[place, stickers.style[target]] = 2.0
    best = order.argmin(1)
    lonely = order[place, best] >= 2.0
    itself = lonely | (random.random(len(target)) < same_reference)
    return np.where(itself, target, pictures[place, best])


@dataclass(frozen=True)
class RestyleBatch:
    """Rows of the code table; `[users, ...]`.

    Attributes:
        history: int64 `[users, history_length]`.
        reference: int64 `[users, targets]`.
        target: int64 `[users, targets]`.
    """

    history: Tensor
    reference: Tensor
    target: Tensor


class RestyleCases:
    """Draws cases from artwork that may be trained on.

    Args:
        stickers: The artwork; a row index plus `len(stickers)` means its mirror image.
        noise: Share of history pictures that are of any style.
        same_reference: Share of references that are the target picture itself.
        same_theme: Share of users whose history and targets share one category.
    """

    def __init__(
        self,
        stickers: TrainingArtwork,
        history_length: int = 5,
        noise: float = 0.15,
        same_reference: float = 0.1,
        same_theme: float = 0.6,
    ) -> None:
        self.stickers = stickers
        self.history_length = history_length
        self.noise, self.same_reference, self.same_theme = noise, same_reference, same_theme
        category = stickers.rows["category"].to_numpy().astype(str)
        self._pools = [
            [np.flatnonzero((stickers.style == s) & (category == c)) for c in np.unique(category)]
            for s in range(len(stickers.styles))
        ]
        self._by_style = [np.flatnonzero(stickers.style == s) for s in range(len(stickers.styles))]

    def draw(self, users: int, targets: int, random: np.random.Generator) -> RestyleBatch:
        """Cases of `users` users with `targets` targets each."""
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
        any_row = random.integers(0, len(self.stickers), self.history_length)
        history = np.where(noisy, any_row, history)
        reference = other_style(self.stickers, target, self.same_reference, random)
        mirror = len(self.stickers) * int(random.random() < 0.5)
        return history + mirror, reference + mirror, target + mirror

    def _pool(self, style: int, least: int, random: np.random.Generator) -> NDArray[np.int64]:
        pools = [p for p in self._pools[style] if len(p) >= least]
        if random.random() >= self.same_theme or not pools:
            return self._by_style[style]
        sizes = np.array([len(p) for p in pools], dtype=float)
        return pools[int(random.choice(len(pools), p=sizes / sizes.sum()))]
