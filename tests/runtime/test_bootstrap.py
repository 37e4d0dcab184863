"""Intervals: properties that hold for any values, and the coverage they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.runtime.bootstrap import (
    lower_bound,
    mean_interval,
    paired_interval,
    resampled_means,
    resampled_rows,
)

values = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@given(values)
def test_the_interval_holds_the_mean_and_stays_within_the_values(given_values: list[float]) -> None:
    found = mean_interval(given_values, resamples=200)
    assert found.mean == pytest.approx(float(np.mean(given_values)))
    assert min(given_values) - 1e-9 <= found.low <= found.high <= max(given_values) + 1e-9
    assert found.cases == len(given_values)


@given(values, st.floats(-50, 50))
def test_a_constant_shift_is_known_exactly_when_paired(
    given_values: list[float], shift: float
) -> None:
    found = paired_interval(np.array(given_values) + shift, given_values, resamples=100)
    assert [found.mean, found.low, found.high] == pytest.approx([shift] * 3, abs=1e-9)


@given(values)
def test_swapping_the_two_turns_the_difference_around(given_values: list[float]) -> None:
    other = np.linspace(-1, 1, len(given_values))
    there = paired_interval(given_values, other, resamples=100)
    back = paired_interval(other, given_values, resamples=100)
    assert [there.mean, there.low, there.high] == pytest.approx([-back.mean, -back.high, -back.low])


def test_cases_without_a_number_are_left_out() -> None:
    found = paired_interval([1.0, np.nan, 3.0], [0.0, 0.0, np.nan])
    assert (found.mean, found.cases) == (1.0, 1)
    nothing = mean_interval([np.nan])
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()
    assert nothing.cases == 0


def test_more_confidence_is_wider() -> None:
    drawn = np.random.default_rng(0).normal(size=60)
    narrow, wide = (mean_interval(drawn, confidence=c) for c in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_true_mean_is_covered_as_often_as_promised() -> None:
    random = np.random.default_rng(1)
    found = [mean_interval(random.normal(2.0, 1.0, 60), resamples=300) for _ in range(200)]
    share = np.mean([one.low <= 2.0 <= one.high for one in found])
    assert 0.88 <= share <= 0.99


def test_every_use_draws_the_same_samples() -> None:
    drawn = np.random.default_rng(2).normal(size=37)
    rows = np.random.default_rng(3).integers(0, 37, (50, 37))
    expected = np.array([drawn[sample].mean() for sample in rows])
    assert (resampled_means(drawn, np.random.default_rng(3), 50) == expected).all()
    low = lower_bound(drawn, np.random.default_rng(3), confidence=0.9, resamples=50)
    assert low == pytest.approx(np.quantile(expected, 0.1))
    means = [drawn[sample].mean() for sample in resampled_rows(37, 2000)]
    assert mean_interval(drawn).low == pytest.approx(np.quantile(means, 0.025))


def test_groups_are_resampled_before_their_cases() -> None:
    table = np.random.default_rng(4).normal(size=(3, 20))
    random = np.random.default_rng(5)
    expected = []
    for _ in range(30):
        mean = table[random.integers(3, size=3)].mean(axis=0)
        expected.append(mean[random.integers(20, size=20)].mean())
    assert resampled_means(table, np.random.default_rng(5), 30).tolist() == expected
