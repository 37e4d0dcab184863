"""Choosing benchmarks by module, and small runs of the fast ones."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from benchmarks import growth, scoring
from benchmarks.__main__ import measures


def test_benchmarks_are_chosen_by_module() -> None:
    assert measures(["scoring", "growth"]) == [scoring.measure, growth.measure]
    with pytest.raises(LookupError, match="no such benchmark: nothing, memory"):
        measures(["nothing", "memory"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "bars"),
    [("publish", [0.7]), ("serve", []), ("start", [0.5, 0.3, 0.3]), ("scoring", [])],
)
def test_a_small_run_gives_every_figure(name: str, bars: list[float], tmp_path: Path) -> None:
    result = importlib.import_module(f"benchmarks.{name}").measure(tmp_path, 0.001)
    assert len(result.figures) > 3
    assert all(figure.value > 0 for figure in result.figures)
    assert [bar.wanted for bar in result.bars] == bars
