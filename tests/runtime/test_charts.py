"""Histograms and bars hold every number they are given, within the plot area."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.runtime.charts import CHART_HEIGHT, CHART_WIDTH, Bar, bars, histogram

SCORES = st.lists(st.floats(-1, 1, width=32), max_size=40)


@given(SCORES, SCORES)
def test_every_score_is_in_one_column_and_the_tallest_fills_the_plot(
    served: list[float], rejected: list[float]
) -> None:
    chart = histogram("score", served, rejected)
    if not served and not rejected:
        assert chart is None
        return
    assert chart is not None
    counted = [re.findall(r"(\d+) served, (\d+) rejected", c.title)[0] for c in chart.columns]
    assert sum(int(good) for good, _ in counted) == len(served)
    assert sum(int(bad) for _, bad in counted) == len(rejected)
    tops = [column.served + column.rejected for column in chart.columns]
    assert max(tops) == pytest.approx(CHART_HEIGHT, abs=0.02)
    assert all(c.x >= 0 and c.x + c.width <= CHART_WIDTH for c in chart.columns)


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30))
def test_ticks_are_few_rising_and_inside(served: list[float]) -> None:
    chart = histogram("score", served)
    assert chart is not None
    places = [tick.x for tick in chart.ticks]
    assert 2 <= len(places) <= 6
    assert places == sorted(set(places))
    assert 0 <= places[0] <= places[-1] <= CHART_WIDTH
    assert len({tick.text for tick in chart.ticks}) == len(places)


def test_median_and_limit_are_drawn_at_their_values() -> None:
    chart = histogram("score", [0.0, 0.4, 1.0], limit=0.25)
    assert chart is not None
    assert (chart.median, chart.median_x) == ("0.40", 0.4 * CHART_WIDTH)
    assert (chart.limit, chart.limit_x) == ("0.25", 0.25 * CHART_WIDTH)
    assert [tick.text for tick in chart.ticks] == ["0.00", "0.25", "0.50", "0.75", "1.00"]


def test_a_limit_outside_the_scores_is_not_drawn() -> None:
    chart = histogram("score", [0.3, 0.4], limit=0.995)
    assert chart is not None
    assert (chart.limit, chart.limit_x) == ("", None)


def test_scores_that_are_no_number_are_left_out() -> None:
    chart = histogram("score", [0.5, math.nan, math.inf], [math.nan])
    assert chart is not None
    assert chart.median == "0.50"
    assert histogram("score", [math.nan]) is None


def test_rejected_alone_have_no_median() -> None:
    chart = histogram("score", [], [0.1, 0.2])
    assert chart is not None
    assert (chart.median, chart.median_x) == ("", None)


def test_bars_are_longest_first_and_measured_against_the_longest() -> None:
    assert bars({"b": 1, "c": 4, "a": 1}, {"c": "noted"}) == (
        Bar("c", 4, 100.0, "noted"),
        Bar("a", 1, 25.0),
        Bar("b", 1, 25.0),
    )
    assert bars({}) == ()
    assert bars({"none": 0}) == (Bar("none", 0, 0.0),)
