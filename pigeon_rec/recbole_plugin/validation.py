"""The learned weight of the affinity: chosen on validation data, never worse there than weight 0.

Bases differ in the scale of their scores by orders of magnitude: EASE spreads a user's items by
0.005, BPR by 0.7. The weights to choose from are therefore ratios of two spreads, that of the
affinity and that of the base's scores, both the median over users of the standard deviation over
items. Every weight is evaluated with RecBole's own metric on the validation data, in one pass in
which base and affinity are computed once. Among the weights that are not worse than 0, the smallest
one within one standard error of the best is taken (Breiman et al., Classification and Regression
Trees, 1984, section 3.4.3, with the error of the paired difference): validation data are few, and a
large weight needs evidence.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.evaluator.collector import DataStruct
from recbole.utils import EvaluatorType
from torch import Tensor

from pigeon_rec.recbole_plugin.base_models import score_all_items
from pigeon_rec.recbole_plugin.sandbox import random_state

__all__ = [
    "RATIOS",
    "ScoreTape",
    "WeightChoice",
    "choices",
    "choose_weight",
    "smallest_good",
    "weighted_sum",
]

RATIOS: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0)
"""Spread of the weighted affinity in units of the spread of the base's scores."""

_ROWS: Final = 256  # validation rows that the spreads are measured on
_CELLS: Final = 1 << 22  # scores held at once for that
_GROUPS: Final = 20  # groups of users that the standard error is computed from
_PLACES: Final = 12  # decimal places of the metric when weights are compared
_PER_ROW: Final = ("rec.items", "rec.topk", "rec.meanrank", "rec.score", "data.label")

_listeners: list[list[WeightChoice]] = []


@dataclass(frozen=True)
class WeightChoice:
    """The outcome of `choose_weight`.

    Attributes:
        weight: Of the affinity, in the units of the base's scores.
        ratio: The same in units of the spread of the base's scores, one of `RATIOS`.
        metric: RecBole's `valid_metric`.
        value: Its value on the validation data with this weight.
        value_at_0: Its value with weight 0, which is the base's.
        result: All of RecBole's metrics on the validation data with this weight.
    """

    weight: float
    ratio: float
    metric: str
    value: float
    value_at_0: float
    result: dict[str, float]

    def __str__(self) -> str:
        return (
            f"weight of the visuals {self.weight:.4g} ({self.ratio:g} times the spread of the "
            f"base's scores), chosen on validation: {self.metric} {self.value:.4f}, "
            f"{self.value_at_0:.4f} at weight 0"
        )


class ScoreTape:
    """Replays what base and affinity gave for a batch, so that other weights need no new pass."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._place = 0

    def rewind(self) -> None:
        """Starts again at the first call of the batch."""
        self._place = 0

    def scores(self, compute: Callable[[], tuple[Tensor, Tensor]], weight: float) -> Tensor:
        """Scores of the next call; `compute` gives those of the base and the affinity once."""
        if self._place == len(self._parts):
            self._parts.append(compute())
        base, affinity = self._parts[self._place]
        self._place += 1
        # The trainer masks scores in place, so that those of the tape must not be returned.
        return base.clone() if weight == 0.0 else weighted_sum(base, affinity, weight)


def weighted_sum(scores: Tensor, affinity: Tensor, weight: float) -> Tensor:
    """`scores + weight * affinity` in the shape of the scores, which may be flat."""
    total = torch.add(scores.reshape(affinity.shape), affinity, alpha=weight)
    return total.reshape(scores.shape)


@contextmanager
def choices() -> Iterator[list[WeightChoice]]:
    """Collects the choices made in its block."""
    made: list[WeightChoice] = []
    _listeners.append(made)
    try:
        yield made
    finally:
        _listeners.remove(made)


def choose_weight(trainer: Any, valid_data: Any) -> WeightChoice:
    """Chooses the weight of the trainer's wrapper on validation data, sets it and logs it.

    The global random generators are as before afterwards.

    Args:
        trainer: RecBole's trainer of a `PigeonRecommender` with item vectors.
        valid_data: RecBole's loader of the validation data.
    """
    model = trainer.model
    with random_state(), torch.no_grad():
        training = model.training
        model.eval()
        weights = [ratio * _unit(model, valid_data) for ratio in RATIOS]
        structs = _evaluated(trainer, valid_data, weights)
        metric = str(trainer.valid_metric)
        sign = 1.0 if trainer.valid_metric_bigger else -1.0
        values = sign * np.array([_by_group(trainer.evaluator, metric, part) for part in structs])
        overall = sign * np.array([_precise(trainer.evaluator, metric, part) for part in structs])
        best = smallest_good(overall, values)
        results = [trainer.evaluator.evaluate(structs[place]) for place in (0, best)]
        model.train(training)
    model.visual_weight.fill_(weights[best])
    choice = WeightChoice(
        weights[best],
        RATIOS[best],
        metric,
        float(results[1][metric]),
        float(results[0][metric]),
        dict(results[1]),
    )
    trainer.logger.info(f"Visuals: {choice}")
    for made in _listeners:
        made.append(choice)
    return choice


def smallest_good(overall: npt.NDArray[np.float64], by_group: npt.NDArray[np.float64]) -> int:
    """Returns the first weight that is not worse than the first of all, and nearly the best.

    Nearly: within one standard error of the paired difference to the best.

    Args:
        overall: Metric of each weight, in ascending order of weights, `[weights]`; more is better.
        by_group: The same within groups of users, `[weights, groups]`; with one group, only the
            best will do.
    """
    shortfall = by_group[int(np.argmax(overall))] - by_group
    groups = by_group.shape[1]
    error = shortfall.std(axis=1, ddof=1) / np.sqrt(groups) if groups > 1 else 0.0
    good = (shortfall.mean(axis=1) <= error) | (overall >= overall.max())
    return int(np.argmax(good & (overall >= overall[0])))


def _unit(model: Any, valid_data: Any) -> float:
    """The weight at which affinity and base have the same spread; 0 if one of them has none."""
    dataset = valid_data._dataset
    every = max(1, len(dataset) // _ROWS)
    chosen = dataset[torch.arange(0, len(dataset), every)[:_ROWS]]
    rows = valid_data.transform(dataset, chosen)
    spreads = []
    for part in torch.arange(len(rows)).split(max(1, _CELLS // dataset.item_num)):
        batch = rows[part].to(model.device)
        scores = score_all_items(model.base, batch, model.items, pairs=model.pairs)
        spreads.append(torch.stack([_spread(scores), _spread(model.affinity_to_all(batch))]))
    base, affinity = torch.cat(spreads, dim=1)
    return _median(base) / _median(affinity) if _median(affinity) > 0.0 else 0.0


def _spread(scores: Tensor) -> Tensor:
    """Standard deviation of each row over its items, float64 `[rows]`; not finite counts as 0."""
    spread = scores[:, 1:].double().std(dim=1)  # without the padding
    return torch.where(spread.isfinite(), spread, 0.0)


def _median(spreads: Tensor) -> float:
    """Median of the spreads above 0; 0 if there are none."""
    above = spreads[spreads > 0]
    return float(above.median()) if len(above) else 0.0


def _evaluated(trainer: Any, data: Any, weights: Sequence[float]) -> list[DataStruct]:
    """RecBole's evaluation of every weight in one pass over the data."""
    model = trainer.model
    batch_scores = trainer._neg_sample_batch_eval
    if isinstance(data, FullSortEvalDataLoader):
        batch_scores = trainer._full_sort_batch_eval
        trainer.item_tensor = data._dataset.get_item_feature().to(trainer.device)
    if trainer.config["eval_type"] == EvaluatorType.RANKING:
        trainer.tot_item_num = data._dataset.item_num
    collectors = [_like(trainer.eval_collector) for _ in weights]
    for batch in data:
        with model.recorded() as tape:
            for weight, collector in zip(weights, collectors, strict=True):
                model.visual_weight.fill_(weight)
                tape.rewind()
                interaction, scores, users, items = batch_scores(batch)
                collector.eval_batch_collect(scores, interaction, users, items)
    return [collector.get_data_struct() for collector in collectors]


def _like(collector: Any) -> Any:
    """A collector with the same data of the training set and nothing collected yet."""
    other = copy.copy(collector)
    other.data_struct = DataStruct()
    kept = {k: v for k, v in collector.data_struct._data_dict.items() if k not in _PER_ROW}
    other.data_struct._data_dict.update(kept)
    return other


def _precise(evaluator: Any, metric: str, struct: DataStruct) -> float:
    """RecBole's metric, hardly rounded."""
    exact = copy.copy(evaluator.metric_class[metric.split("@", maxsplit=1)[0]])
    exact.decimal_place = _PLACES
    return float(exact.calculate_metric(struct)[metric])


def _by_group(evaluator: Any, metric: str, struct: DataStruct) -> list[float]:
    """The metric within each group of users; one group if it is no mean over users."""
    if evaluator.metric_class[metric.split("@", maxsplit=1)[0]].metric_need != ["rec.topk"]:
        return [_precise(evaluator, metric, struct)]
    rows = torch.arange(len(struct["rec.topk"]))
    values = []
    for group in range(min(_GROUPS, len(rows))):
        part = DataStruct()
        part["rec.topk"] = struct["rec.topk"][rows % _GROUPS == group]
        values.append(_precise(evaluator, metric, part))
    return values
