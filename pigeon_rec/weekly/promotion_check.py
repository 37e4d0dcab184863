"""The gate between a new model and the serving one: paired, case by case, with its own doubt.

Both models draw the same held-out cases. Of every metric the mean paired gain is taken, with a
one-sided bootstrap bound over the cases (taken as independent: those that share a user have targets
of their own). Rules say which metrics must improve and which may not fall. All rules must hold at
once, so their number needs no correction: a model that is not better in one of the metrics to
improve passes with a probability of about `1 - confidence` at most.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.errors import ConfigError
from pigeon_rec.weekly.config import PromotionRules

__all__ = ["MetricVerdict", "Verdict", "compare"]

_CHUNK: Final = 256
"""Resamples drawn at once: bounds the memory to this many rows of all cases."""


@dataclass(frozen=True)
class MetricVerdict:
    """One metric of both models over the cases that the serving model has a value for.

    Attributes:
        metric: Its name.
        role: Whether it must improve, or may not fall.
        cases: Cases compared.
        lost: Cases that the serving model has a value for and the new one has not.
        serving: Mean of the serving model over the compared cases.
        candidate: Mean of the new model over the same cases.
        gain: Mean paired difference, positive where the new model is better.
        bound: Lower bound of the gain at the rules' confidence; like the means, None where there
            is no case to compare.
        needed: What the bound is held against.
        passed: Whether the rule holds.
    """

    metric: str
    role: Literal["improve", "keep"]
    cases: int
    lost: int
    serving: float | None
    candidate: float | None
    gain: float | None
    bound: float | None
    needed: float
    passed: bool


@dataclass(frozen=True)
class Verdict:
    """Whether the new model may take the place of the serving one.

    Attributes:
        accepted: Every rule holds.
        reason: Why or why not, in one sentence.
        metrics: One verdict per rule, in the order of the rules.
    """

    accepted: bool
    reason: str
    metrics: tuple[MetricVerdict, ...]


def compare(
    candidate: pl.DataFrame,
    serving: pl.DataFrame,
    rules: PromotionRules,
    lower_is_better: Collection[str] = (),
) -> Verdict:
    """Compares two models on the same cases.

    Args:
        candidate: The new model's values: `case_id`, `metric`, `value`, one row per case and
            metric; no value, null or no number means that it has none for the case.
        serving: The serving model's, likewise.
        rules: What must improve, what may not fall, and how sure to be.
        lower_is_better: Metrics that improve by falling, such as distances.

    Returns:
        The verdict; the same inputs always give the same one.

    Raises:
        ConfigError: A rule names a metric that was not measured.
    """
    # One stream for all metrics, in the order of the rules: a verdict can be repeated.
    random = np.random.default_rng(rules.seed)
    roles: Mapping[Literal["improve", "keep"], Mapping[str, float]] = {
        "improve": rules.improve,
        "keep": {metric: -loss for metric, loss in rules.keep.items()},
    }
    metrics = tuple(
        _judge(
            _pairs(candidate, serving, metric, -1.0 if metric in lower_is_better else 1.0),
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
    return Verdict(not failed, "; ".join(_told(verdict, rules) for verdict in decisive), metrics)


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
    bound = _lower_bound(gains, rules, random)
    enough = len(gains) >= rules.min_cases
    lost = pairs.height - both.height
    few_lost = lost <= rules.max_lost * pairs.height
    return MetricVerdict(
        metric=metric,
        role=role,
        cases=len(gains),
        lost=lost,
        serving=_mean(both["serving"]),
        candidate=_mean(both["candidate"]),
        gain=_mean(both["gain"]),
        bound=bound,
        needed=needed,
        passed=enough and few_lost and _holds(role, bound, needed),
    )


def _holds(role: str, bound: float | None, needed: float) -> bool:
    if bound is None:
        return False
    # Strictly above for "better": equal models have a bound of exactly 0 and never pass.
    return bound > needed if role == "improve" else bound >= needed


def _pairs(
    candidate: pl.DataFrame, serving: pl.DataFrame, metric: str, sign: float
) -> pl.DataFrame:
    """`case_id, serving, candidate, gain` of the cases that the serving model has a value for."""
    old = _finite(serving, metric).rename({"value": "serving"})
    if old.is_empty():
        measured = ", ".join(serving["metric"].unique().sort())
        raise ConfigError(
            f"the serving model was not measured by the metric {metric!r}",
            location="gate",
            remedy=f"Rules can name: {measured}",
        )
    new = _finite(candidate, metric).rename({"value": "candidate"})
    both = old.join(new, on="case_id", how="left", validate="1:1", maintain_order="left")
    return both.with_columns(gain=sign * (pl.col("candidate") - pl.col("serving")))


def _finite(values: pl.DataFrame, metric: str) -> pl.DataFrame:
    wanted = (pl.col("metric") == metric) & pl.col("value").is_finite()
    # Sorted, so that a verdict does not depend on the order of the rows.
    return values.filter(wanted).select("case_id", "value").sort("case_id")


def _lower_bound(
    gains: NDArray[np.float64], rules: PromotionRules, random: np.random.Generator
) -> float | None:
    """One-sided percentile bound of the mean over resampled cases."""
    if not len(gains):
        return None
    means: list[NDArray[np.float64]] = []
    for start in range(0, rules.resamples, _CHUNK):
        count = min(_CHUNK, rules.resamples - start)
        means.append(gains[random.integers(0, len(gains), (count, len(gains)))].mean(1))
    return float(np.quantile(np.concatenate(means), 1.0 - rules.confidence))


def _mean(values: pl.Series) -> float | None:
    return float(values.to_numpy().mean()) if len(values) else None


def _told(verdict: MetricVerdict, rules: PromotionRules) -> str:
    name, sure = verdict.metric, f"{rules.confidence:.0%}"
    if verdict.cases < rules.min_cases:
        return f"{name} was compared on {verdict.cases} cases, {rules.min_cases} are needed"
    if verdict.lost > rules.max_lost * (verdict.cases + verdict.lost):
        return f"{name} is missing in {verdict.lost} of {verdict.cases + verdict.lost} cases"
    change = (
        f"{name} {verdict.gain:+.4f} ({sure} sure of {verdict.bound:+.4f}, {verdict.cases} cases"
    )
    if verdict.passed:
        return f"{change})"
    limit = "more than" if verdict.role == "improve" else "at least"
    return f"{change}; needed is {limit} {verdict.needed:+.4f})"
