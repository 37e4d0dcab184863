"""The learned weight of the affinity, a conditional logit on training interactions.

Each sampled interaction is compared with hard negatives, drawn from the base model's top tenth for
that user. The weight maximises the likelihood of the positives by affinity alone, found by Newton's
method:

    max over w of sum_s log softmax(w * affinity)[positive of s].

The base's own scores are left out: on interactions that it was trained on they are overconfident.
Hard negatives keep the weight from counting twice what the base already knows, such as a preferred
style. If images do not help, the weight is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from pigeon_rec.recbole_plugin.base_models import score_all_items

__all__ = ["TrainingSample", "conditional_logit"]

_ROWS: Final = 512
_NEGATIVES: Final = 50
_TOP_SHARE: Final = 0.1  # share of all items, the base's best, that negatives are drawn from
_MIN_TOP: Final = 100
_MAX_WEIGHT: Final = 5.0
_STEPS: Final = 25


@dataclass(frozen=True)
class TrainingSample:
    """A fixed sample of training interactions that the weight is learned from.

    Attributes:
        rows: Up to 512 rows of RecBole's training set.
        seed: Of the negative sampling, which leaves the global generators alone.
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
        """Learns the weight for the current base of `model`, in [0, 5]."""
        rows = self.rows.to(model.device)
        positive = rows[model.ITEM_ID]
        items, weights = model.weighted_history(rows)
        # A general model's history contains the positive itself, which must not count.
        weights = weights.masked_fill(items == positive.unsqueeze(-1), 0.0)
        affinity = model.affinity.to_all(items, weights)
        scores = score_all_items(model.base, rows, model.ITEM_ID, affinity.shape[1]).clone()
        scores.scatter_(1, items, -torch.inf)
        scores.scatter_(1, positive.unsqueeze(-1), -torch.inf)
        scores[:, 0] = -torch.inf
        negatives = self._negatives(scores)
        gap = affinity.gather(1, negatives) - affinity.gather(1, positive.unsqueeze(-1))
        return conditional_logit(gap.double())

    def _negatives(self, scores: Tensor) -> Tensor:
        """Draws 50 of the best-scored items of each row, int64 `[rows, 50]`."""
        n_items = scores.shape[1]
        count = min(max(_MIN_TOP, int(_TOP_SHARE * n_items)), n_items - 1)
        best, top = scores.topk(count, dim=1)
        generator = torch.Generator().manual_seed(self.seed)
        usable = torch.isfinite(best).float().cpu() + 1e-12
        drawn = torch.multinomial(usable, _NEGATIVES, replacement=True, generator=generator)
        return top.gather(1, drawn.to(top.device))


def conditional_logit(gap: Tensor) -> float:
    """Returns the w in [0, 5] that maximises the mean of `-log(1 + sum exp(w * gap))`.

    Args:
        gap: Float64 `[samples, negatives]`, the negative's feature minus the positive's.
    """
    weight = 0.0
    for _ in range(_STEPS):
        logits = torch.nn.functional.pad(gap * weight, (1, 0))  # the positive has gap 0
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
