"""The learned weight of the affinity: what pictures add where the base model hesitates.

A sample of training interactions is ranked against items that the base itself puts into its top
tenth for that user. The weight maximises the likelihood of the interaction among them by affinity
alone (a conditional logit, solved by Newton's method):

    max over w of sum_s log softmax(w * affinity)[interaction of s].

The base's own margins stay out of it: on interactions it was trained on they say little about
others. That its favourites are the rivals keeps the weight from counting twice what the base knows,
a preferred style say. Where the pictures do not help, the weight is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

__all__ = ["TrainingSample", "conditional_logit"]

_ROWS: Final = 512
_RIVALS: Final = 50
_FAVOURITES: Final = 0.1  # share of all items, the base's best, that rivals are drawn from
_MIN_FAVOURITES: Final = 100
_MAX_WEIGHT: Final = 5.0
_STEPS: Final = 25


@dataclass(frozen=True)
class TrainingSample:
    """Training interactions the weight is learned from, the same whenever it is learned.

    Attributes:
        rows: Up to 512 rows of RecBole's training set.
        seed: Of the rivals' draw; RecBole's global generators are left alone.
    """

    rows: Interaction
    seed: int

    @classmethod
    def of(cls, dataset: Any, seed: int) -> TrainingSample:
        """Draws the rows of a training set."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(dataset.inter_feat), generator=generator)
        return cls(dataset.inter_feat[order[:_ROWS]], seed)

    @torch.no_grad()
    def learn(self, model: Any) -> float:
        """The weight for the base of `model` as it stands, in [0, 5]."""
        rows = self.rows.to(model.device)
        target = rows[model.ITEM_ID]
        items, weights = model.history_of(rows)
        # General models were trained on the interaction itself: it must not speak for itself.
        weights = weights.masked_fill(items == target.unsqueeze(-1), 0.0)
        affinity = model.affinity.to_all(items, weights)
        scores = _base_scores(model, rows).view_as(affinity).clone()
        scores.scatter_(1, items, -torch.inf)
        scores.scatter_(1, target.unsqueeze(-1), -torch.inf)
        scores[:, 0] = -torch.inf
        rivals = self._rivals(scores)
        gap = affinity.gather(1, rivals) - affinity.gather(1, target.unsqueeze(-1))
        return conditional_logit(gap.double())

    def _rivals(self, scores: Tensor) -> Tensor:
        """Draws 50 of the best-scored items of each row, int64 `[rows, 50]`."""
        n_items = scores.shape[1]
        count = min(max(_MIN_FAVOURITES, int(_FAVOURITES * n_items)), n_items - 1)
        best, favourites = scores.topk(count, dim=1)
        generator = torch.Generator().manual_seed(self.seed)
        usable = torch.isfinite(best).float().cpu() + 1e-12
        drawn = torch.multinomial(usable, _RIVALS, replacement=True, generator=generator)
        return favourites.gather(1, drawn.to(favourites.device))


def conditional_logit(gap: Tensor) -> float:
    """The w in [0, 5] that maximises the mean of `-log(1 + sum exp(w * gap))`.

    Args:
        gap: Float64 `[samples, rivals]`, the rival's feature less the chosen one's.
    """
    weight = 0.0
    for _ in range(_STEPS):
        # The chosen one has a gap of 0.
        logits = torch.nn.functional.pad(gap * weight, (1, 0))
        share = torch.softmax(logits, dim=1)[:, 1:]
        mean = (share * gap).sum(1)
        curvature = float(((share * gap**2).sum(1) - mean**2).mean())
        if curvature < 1e-9:
            break
        step = -float(mean.mean()) / curvature
        weight = min(max(weight + step, 0.0), _MAX_WEIGHT)
        if abs(step) < 1e-6:
            break
    return weight


def _base_scores(model: Any, rows: Interaction) -> Tensor:
    """The base's scores of all items, float32 `[rows, n_items]`."""
    base = model.base
    try:
        scores: Tensor = base.full_sort_predict(rows)
        return scores
    except NotImplementedError:  # NeuMF, say: pair by pair
        n_items = model.affinity.n_items
        every = torch.arange(n_items, device=model.device)
        parts = []
        for row in range(len(rows)):
            one = rows[[row]].repeat(n_items)
            one.update(Interaction({model.ITEM_ID: every}))
            parts.append(base.predict(one))
        return torch.stack(parts)
