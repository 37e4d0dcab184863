"""The promotion check: compares a new model with the serving one, paired by case.

Both models draw the same held-out cases. For every metric, the check computes the mean paired gain
and its one-sided bootstrap bound over the cases (treated as independent: cases of one user have
different targets). Rules say which metrics must improve and which may not fall. All rules must hold
at once, so their number needs no correction: a model that does not improve in one of the metrics
passes with a probability of at most about `1 - confidence`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from pigeon_rec.errors import ConfigError
from pigeon_rec.runtime.bootstrap import lower_bound
from pigeon_rec.weekly.config import PromotionRules

__all__ = ["MetricVerdict", "Verdict", "compare"]


@dataclass(frozen=True)
class MetricVerdict:
    """Result of one rule, over the cases for which the serving model has a value.

    Attributes:
        role: Whether it must improve, or may not fall.
        cases: Cases compared.
        lost: Cases for which only the serving model has a value.
        serving: Mean of the serving model over the compared cases.
        new: Mean of the new model over the same cases.
        gain: Mean paired difference, positive if the new model is better.
        bound: Lower bound of the gain at the rules' confidence. The bound and the means are None
            if no case was compared.
        needed: Smallest allowed bound: exclusive for `improve`, inclusive for `keep`.
    """

    metric: str
    role: Literal["improve", "keep"]
    cases: int
    lost: int
    serving: float | None
    new: float | None
    gain: float | None
    bound: float | None
    needed: float
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """Whether the new model may replace the serving one.

    Attributes:
        reason: The decisive rules with their numbers, as one sentence.
        metrics: One verdict per rule, in the order of the rules.
    """

    accepted: bool
    reason: str
    metrics: tuple[MetricVerdict, ...]


def compare(
    new: pl.DataFrame,
    serving: pl.DataFrame,
    rules: PromotionRules,
    lower_is_better: Collection[str] = (),
) -> Verdict:
    """Compares two models on the same cases.

    Args:
        new: Values of the new model: `case_id`, `metric`, `value`, one row per case and metric.
            A missing row, null or NaN means that it has no value for the case.
        serving: Values of the serving model, likewise.
        rules: The rules.
        lower_is_better: Metrics that improve by falling, such as distances.

    Returns:
        The verdict; the same inputs always give the same verdict.

    Raises:
        ConfigError: A rule names a metric that was not measured.
    """
    # One random stream for all metrics, in the order of the rules, makes the verdict repeatable.
    random = np.random.default_rng(rules.seed)
    roles: Mapping[Literal["improve", "keep"], Mapping[str, float]] = {
        "improve": rules.improve,
        "keep": {metric: -loss for metric, loss in rules.keep.items()},
    }
    metrics = tuple(
        _judge(
            _pairs(new, serving, metric, -1.0 if metric in lower_is_better else 1.0),
            metric,
            role,
            needed,
            rules,
            random,
        )
        for role, wanted in roles.items()
        for metric, needed in wanted.items()
    )
    failed = [verdict for verdict in metrics if not verdict.passed]
    decisive = failed or [verdict for verdict in metrics if verdict.role == "improve"]
    return Verdict(not failed, "; ".join(_reason(verdict, rules) for verdict in decisive), metrics)


def _judge(
    pairs: pl.DataFrame,
    metric: str,
    role: Literal["improve", "keep"],
    needed: float,
    rules: PromotionRules,
    random: np.random.Generator,
) -> MetricVerdict:
    both = pairs.drop_nulls()
    gains = both["gain"].to_numpy()
    bound = None
    if len(gains):
        bound = lower_bound(gains, random, confidence=rules.confidence, resamples=rules.resamples)
    enough = len(gains) >= rules.min_cases
    lost = pairs.height - both.height
    few_lost = lost <= rules.max_lost * pairs.height
    return MetricVerdict(
        metric=metric,
        role=role,
        cases=len(gains),
        lost=lost,
        serving=_mean(both["serving"]),
        new=_mean(both["new"]),
        gain=_mean(both["gain"]),
        bound=bound,
        needed=needed,
        passed=enough and few_lost and _holds(role, bound, needed),
    )


def _holds(role: str, bound: float | None, needed: float) -> bool:
    if bound is None:
        return False
    # Strictly above to improve: equal models have a bound of exactly 0 and must not pass.
    return bound > needed if role == "improve" else bound >= needed


def _pairs(new: pl.DataFrame, serving: pl.DataFrame, metric: str, sign: float) -> pl.DataFrame:
    """Returns `case_id, serving, new, gain` of the cases with a value of the serving model."""
    old = _finite(serving, metric).rename({"value": "serving"})
    if old.is_empty():
        measured = ", ".join(serving["metric"].unique().sort())
        raise ConfigError(
            f"the serving model was not measured by the metric {metric!r}",
            location="promotion_check",
            remedy=f"Rules can name: {measured}",
        )
    values = _finite(new, metric).rename({"value": "new"})
    both = old.join(values, on="case_id", how="left", validate="1:1", maintain_order="left")
    return both.with_columns(gain=sign * (pl.col("new") - pl.col("serving")))


def _finite(values: pl.DataFrame, metric: str) -> pl.DataFrame:
    wanted = (pl.col("metric") == metric) & pl.col("value").is_finite()
    # Sorted, so that the verdict does not depend on the order of the rows.
    return values.filter(wanted).select("case_id", "value").sort("case_id")


def _mean(values: pl.Series) -> float | None:
    return float(values.to_numpy().mean()) if len(values) else None


def _reason(verdict: MetricVerdict, rules: PromotionRules) -> str:
    name, confidence = verdict.metric, f"{rules.confidence:.0%}"
    if verdict.cases < rules.min_cases:
        return f"{name} was compared on {verdict.cases} cases, {rules.min_cases} are needed"
    if verdict.lost > rules.max_lost * (verdict.cases + verdict.lost):
        return f"{name} is missing in {verdict.lost} of {verdict.cases + verdict.lost} cases"
    change = (
        f"{name} {verdict.gain:+.4f} ({confidence} lower bound {verdict.bound:+.4f}, "
        f"{verdict.cases} cases"
    )
    if verdict.passed:
        return f"{change})"
    limit = "more than" if verdict.role == "improve" else "at least"
    return f"{change}; needed is {limit} {verdict.needed:+.4f})"
