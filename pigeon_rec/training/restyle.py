"""Restyling samples: synthetic histories, references and targets for the language model.

The history shows one style, and the target is a concept in that style. The reference is the same
concept in another style, or for some samples the target itself, as in the published stage 1. In a
catalogue without styles the made styles of `pigeon_rec.training.views` take their place, and the
target is always its own reference.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from pigeon_rec.training.artwork import ArtworkTensors
from pigeon_rec.training.draws import uniform

__all__ = ["RestyleBatch", "RestyleSamples", "other_style"]

_FAR = 2.0
"""A sorting key above all random ones."""
_CATEGORIES = 64
_SORTED = 4096
"""Largest pool that is shuffled whole; of a larger one, repetitions are too rare to matter."""


def other_style(
    images: ArtworkTensors, target: Tensor, same_reference: float, random: torch.Generator
) -> Tensor:
    """Draws references: the concept of each target in a random other style.

    Args:
        images: The artwork.
        target: int64 `[n]` artwork rows.
        same_reference: Share of references that are the target itself, as published. Concepts
            that exist in one style only always use the target.
        random: On the device of the artwork.

    Returns:
        int64 `[n]` artwork rows to train on, or the target's.
    """
    alternatives = images.at[images.concept[target]]  # [n, styles]
    order = uniform(random, *alternatives.shape)
    order = order.masked_fill(alternatives < 0, _FAR)
    order = order.scatter(1, images.style[target][:, None], _FAR)
    key, best = order.min(1)
    itself = uniform(random, *target.shape) < same_reference
    return torch.where(itself | (key >= _FAR), target, alternatives.gather(1, best[:, None])[:, 0])


@dataclass(frozen=True)
class RestyleBatch:
    """Artwork rows.

    Attributes:
        history: int64 `[users, history_length]`.
        reference: int64 `[users, targets]`.
        target: int64 `[users, targets]`.
    """

    history: Tensor
    reference: Tensor
    target: Tensor


class RestyleSamples:
    """Draws restyling samples of the rows to train on.

    A pool is the artwork of one style, or of one style and one of the 64 largest categories.

    Args:
        images: The artwork, on the device where samples are drawn.
        category: int64 `[n]`, the category of each row.
        targets: Targets of a user.
        history_length: Images of a history.
        noise: Largest share of a history's images that are of any style; two users in five have
            none.
        same_reference: Share of references that are the target itself.
        same_category: Share of users whose history and targets share one category.
    """

    def __init__(  # noqa: PLR0913 - an argument of each share, all with defaults
        self,
        images: ArtworkTensors,
        category: Tensor,
        targets: int = 8,
        history_length: int = 5,
        noise: float = 0.5,
        same_reference: float = 0.1,
        same_category: float = 0.6,
    ) -> None:
        self.images, self.targets, self.history_length = images, targets, history_length
        self.noise, self.same_reference = noise, same_reference
        self.styles = images.at.shape[1]
        style, category = images.style[images.training], category[images.training]
        pools = [images.training[style == s] for s in range(self.styles)]
        wanted = targets + history_length
        for key in _largest(category):
            own = [images.training[(style == s) & (category == key)] for s in range(self.styles)]
            pools += [pool for pool in own if len(pool) >= wanted]
        self._sizes = torch.tensor([len(pool) for pool in pools], device=images.at.device)
        self._rows, self._starts = torch.cat(pools), self._sizes.cumsum(0) - self._sizes
        self._widest = int(self._sizes.max())
        self.known = self._known()
        small, whole = self._sizes[self.styles :].float(), self._sizes[: self.styles].sign().float()
        share = same_category if len(small) else 0.0
        self._weights = torch.cat(
            [whole * (1 - share) / whole.sum(), small * share / small.sum().clamp(min=1)]
        )

    def to(self, device: torch.device) -> RestyleSamples:
        """Returns the same samples on a device."""
        moved = copy(self)
        moved.images = self.images.to(device)
        moved._rows, moved._starts = self._rows.to(device), self._starts.to(device)
        moved._sizes = self._sizes.to(device)
        moved._weights, moved.known = self._weights.to(device), self.known.to(device)
        return moved

    def draw(self, users: int, random: torch.Generator) -> RestyleBatch:
        """Draws samples of `users` users."""
        chosen = self._weights.multinomial(users, replacement=True, generator=random)
        rows = self._from_pools(chosen, self.history_length + self.targets, random)
        history, target = rows[:, : self.history_length], rows[:, self.history_length :]
        return RestyleBatch(self._noisy(history, random), self._reference(target, random), target)

    def validation(self, samples: int) -> RestyleBatch:
        """Samples with the validation rows as targets, about `samples` of them, always the same.

        Histories have no noise, and no reference is its target.
        """
        random = torch.Generator(self.images.at.device).manual_seed(0)
        style = self.images.style[self.known]
        groups = [g for s in style.unique() for g in self.known[style == s].split(self.targets)]
        kept = groups[:: -(-len(groups) * self.targets // samples)]
        # The last targets of a style are repeated to fill up a user.
        target = torch.stack(
            [g[torch.arange(self.targets, device=g.device) % len(g)] for g in kept]
        )
        history = self._from_pools(self.images.style[target[:, 0]], self.history_length, random)
        reference = other_style(self.images, target.flatten(), 0.0, random).view_as(target)
        return RestyleBatch(history, reference, target)

    def _known(self) -> Tensor:
        """Validation rows of which there is a history, and a reference to train on.

        Where no concept comes in several styles, the target is its own reference.
        """
        images = self.images
        known = (images.at[images.concept[images.validation]] >= 0).any(1)
        if not ((images.at >= 0).sum(1) > 1).any():
            known.fill_(value=True)
        known &= self._sizes[images.style[images.validation]] > 0
        return images.validation[known]

    def _from_pools(self, pools: Tensor, count: int, random: torch.Generator) -> Tensor:
        """`count` different rows of each pool, int64 `[users, count]`; repeated if it has fewer."""
        sizes = self._sizes[pools][:, None]
        if self._widest > _SORTED:
            places = (uniform(random, len(pools), count) * sizes).long().minimum(sizes - 1)
        else:
            keys = uniform(random, len(pools), self._widest)
            keys = keys.masked_fill(torch.arange(self._widest, device=keys.device) >= sizes, _FAR)
            turns = torch.arange(count, device=keys.device).expand(len(pools), -1) % sizes
            places = keys.argsort(1).gather(1, turns)
        return self._rows[self._starts[pools][:, None] + places]

    def _noisy(self, history: Tensor, random: torch.Generator) -> Tensor:
        """Replaces some images of each history by any."""
        users = len(history)
        rate = uniform(random, 2, users, 1)
        share = rate[0] * self.noise * (rate[1] >= 0.4)
        replaced = uniform(random, *history.shape) < share
        other = self.images.draw(history.numel(), random).view_as(history)
        return torch.where(replaced, other, history)

    def _reference(self, target: Tensor, random: torch.Generator) -> Tensor:
        rows = other_style(self.images, target.flatten(), self.same_reference, random)
        return rows.view_as(target)


def _largest(category: Tensor) -> list[int]:
    """The most frequent categories, in ascending order."""
    counts = category.bincount()
    largest = counts.argsort(descending=True, stable=True)[:_CATEGORIES]
    return sorted(largest[counts[largest] > 0].tolist())
