"""Growth curves: exponents, and the cost of small work."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks import growth


@pytest.mark.parametrize(("power", "constant"), [(1.0, 0.0), (0.5, 3.0), (2.0, 40.0)])
def test_the_exponent_of_a_power_law_is_fitted(power: float, constant: float) -> None:
    sizes = [10, 30, 100, 300, 1000]
    costs = [constant + 0.2 * size**power for size in sizes]
    assert growth.fitted_exponent(sizes, costs, constant) == pytest.approx(power)


def test_points_at_the_constant_are_left_out() -> None:
    assert growth.fitted_exponent([1, 10, 100], [2.0, 12.0, 102.0], 2.0) == pytest.approx(1.0)
    assert math.isnan(growth.fitted_exponent([1, 10], [2.0, 3.0], 2.0))


def test_small_work_has_a_cost(tmp_path: Path) -> None:
    for work in (growth._retrieve, growth._plan):
        cost = work(growth.Sizes(20, 100, 6), tmp_path)
        assert cost.processor > 0
        assert cost.memory < 1000
