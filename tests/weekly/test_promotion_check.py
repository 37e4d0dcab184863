"""The promotion check as a pure function: properties that hold for any measurements."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pigeon_rec.errors import ConfigError
from pigeon_rec.weekly.config import PromotionRules
from pigeon_rec.weekly.promotion_check import Verdict, compare

RULES = PromotionRules(
    improve={"history": 0.0}, keep={"text": 0.01, "concept": 0.05}, resamples=400, min_cases=20
)
CASES = 120


def measured(**metrics: NDArray[np.float64]) -> pl.DataFrame:
    """A table as the evaluation writes it, from one array of values per metric."""
    parts = [
        pl.DataFrame(
            {"case_id": [f"c{n:03d}" for n in range(len(values))], "value": values}
        ).select("case_id", pl.lit(name).alias("metric"), "value")
        for name, values in metrics.items()
    ]
    return pl.concat(parts)


def model(seed: int, history: float = 0.0, text: float = 0.0, lost: float = 0.0) -> pl.DataFrame:
    """The same cases for every `seed`, shifted by a gain; a share `lost` of concepts fails."""
    random = np.random.default_rng(seed)
    concept = (random.random(CASES) < 0.7).astype(float)
    return measured(
        history=random.normal(0.6, 0.1, CASES) + history,
        text=random.normal(0.3, 0.05, CASES) + text,
        concept=np.where(random.random(CASES) < lost, 0.0, concept),
    )


def drawn(values: pl.DataFrame, noise: float, seed: int) -> pl.DataFrame:
    """The same model drawn with other random numbers."""
    random = np.random.default_rng([seed, 1])
    return values.with_columns(pl.col("value") + random.normal(0.0, noise, values.height))


def verdict_of(outcome: Verdict, metric: str) -> bool:
    return next(verdict.passed for verdict in outcome.metrics if verdict.metric == metric)


@given(
    seed=st.integers(0, 2**32 - 1),
    confidence=st.floats(0.5, 0.999),
    margin=st.floats(0.0, 0.2),
    loss=st.floats(0.0, 0.5),
)
@settings(max_examples=40)
def test_identical_models_are_never_promoted(
    seed: int, confidence: float, margin: float, loss: float
) -> None:
    rules = PromotionRules(
        improve={"history": margin}, keep={"text": loss}, confidence=confidence, resamples=200
    )
    outcome = compare(model(seed), model(seed), rules)
    assert not outcome.accepted
    # Nothing fell: the rule on the gain alone fails.
    assert [verdict.passed for verdict in outcome.metrics] == [False, True]
    assert outcome.reason.startswith("history +0.0000")


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_clearly_better_model_is_promoted(seed: int) -> None:
    better = drawn(model(seed, history=0.05), 0.02, seed)
    outcome = compare(better, model(seed), RULES)
    assert outcome.accepted
    assert outcome.reason.startswith("history +0.0")
    assert outcome.metrics[0].gain == pytest.approx(0.05, abs=0.01)
    assert 0.0 < (outcome.metrics[0].bound or 0.0) < (outcome.metrics[0].gain or 0.0)


@given(seed=st.integers(0, 2**32 - 1), gain=st.floats(0.05, 5.0), lost=st.floats(0.3, 1.0))
@settings(max_examples=20)
def test_no_gain_makes_up_for_a_collapse_of_the_concept(
    seed: int, gain: float, lost: float
) -> None:
    outcome = compare(model(seed, history=gain, lost=lost), model(seed), RULES)
    assert not outcome.accepted
    assert verdict_of(outcome, "history")
    assert not verdict_of(outcome, "concept")
    assert outcome.reason.startswith("concept -0.")
    assert "needed is at least -0.0500" in outcome.reason


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_promoted_model_is_never_replaced_by_the_one_before(seed: int) -> None:
    one, other = drawn(model(seed, history=0.01), 0.05, seed), model(seed)
    assert not (compare(one, other, RULES).accepted and compare(other, one, RULES).accepted)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_order_of_rows_decides_nothing(seed: int) -> None:
    new, old = drawn(model(seed, history=0.02), 0.05, seed), model(seed)
    shuffled = new.sample(fraction=1.0, shuffle=True, seed=seed % 1000)
    assert compare(shuffled, old.reverse(), RULES) == compare(new, old, RULES)


def test_equal_models_with_other_random_numbers_pass_as_rarely_as_promised() -> None:
    tries = 200
    passed = sum(
        compare(drawn(model(seed), 0.05, seed), model(seed), RULES).accepted
        for seed in range(tries)
    )
    # One-sided at 95 %: 10 of 200 by the rule for `history` alone; 20 would be four deviations off.
    assert passed < 20


def test_a_gain_within_the_margin_is_no_gain() -> None:
    new, old = model(3, history=0.04), model(3)
    assert compare(new, old, RULES).accepted
    strict = RULES.model_copy(update={"improve": {"history": 0.05}})
    outcome = compare(new, old, strict)
    assert not outcome.accepted
    assert "needed is more than +0.0500" in outcome.reason


def test_a_fall_within_the_margin_is_accepted_and_beyond_it_refused() -> None:
    for fall, accepted in ((0.009, True), (0.011, False)):
        assert compare(model(3, history=0.1, text=-fall), model(3), RULES).accepted is accepted


def test_a_distance_improves_by_falling() -> None:
    less = compare(model(3, history=-0.1), model(3), RULES, {"history"})
    assert less.accepted
    assert less.metrics[0].gain == pytest.approx(0.1)
    assert not compare(model(3, history=0.1), model(3), RULES, {"history"}).accepted


def test_few_cases_decide_nothing() -> None:
    few = [values.filter(pl.col("case_id") < "c019") for values in (model(3, 0.2), model(3))]
    outcome = compare(few[0], few[1], RULES)
    assert not outcome.accepted
    assert "compared on 19 cases, 20 are needed" in outcome.reason


@pytest.mark.parametrize("hole", ["absent", "null", "nan"])
def test_cases_that_the_new_model_fails_count_against_it(hole: str) -> None:
    """Leaving out the hard cases must not make a model better."""
    new, old = model(3, history=0.2), model(3)
    failed = pl.col("case_id") < "c003"
    if hole == "absent":
        new = new.filter(~failed)
    else:
        value = None if hole == "null" else float("nan")
        new = new.with_columns(pl.when(failed).then(value).otherwise("value").alias("value"))
    outcome = compare(new, old, RULES)
    assert not outcome.accepted
    assert "history is missing in 3 of 120 cases" in outcome.reason
    assert outcome.metrics[0].lost == 3
    assert compare(new, old, RULES.model_copy(update={"max_lost": 0.025})).accepted


def test_a_model_without_any_value_is_refused() -> None:
    outcome = compare(model(3).clear(), model(3), RULES)
    assert not outcome.accepted
    assert (outcome.metrics[0].gain, outcome.metrics[0].bound) == (None, None)


def test_a_rule_on_what_was_not_measured_is_a_wrong_setting() -> None:
    rules = PromotionRules(improve={"histroy": 0.0}, keep={})
    with pytest.raises(ConfigError, match=r"'histroy'.*concept, history, text"):
        compare(model(3), model(3), rules)
