"""Fréchet distance between sets of vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pigeon_rec.evaluation.frechet import frechet_distance, frechet_interval

seeds = st.integers(0, 10_000)


def vectors(seed: int, count: int = 40, shift: float = 0.0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, 6)) + shift
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")
    return unit


@given(seeds)
@settings(max_examples=10)
def test_a_set_has_distance_zero_from_itself_in_any_order(seed: int) -> None:
    rows = vectors(seed)
    assert frechet_distance(rows, rows[::-1].copy()) == pytest.approx(0.0, abs=1e-4)


@given(seeds)
@settings(max_examples=10)
def test_the_distance_is_symmetric_and_grows_with_the_difference(seed: int) -> None:
    one, near, far = vectors(seed), vectors(seed + 1), vectors(seed + 1, shift=2.0)
    assert frechet_distance(one, near) == pytest.approx(frechet_distance(near, one), rel=1e-3)
    assert frechet_distance(one, near) < frechet_distance(one, far)


def test_the_interval_contains_the_distance() -> None:
    interval = frechet_interval(vectors(0), vectors(1, count=200), resamples=20)
    assert 0.0 <= interval.low <= interval.mean <= interval.high
    assert interval.cases == 40
