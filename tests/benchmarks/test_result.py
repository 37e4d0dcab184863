"""Results as text, timing, and the description of the machine."""

from __future__ import annotations

from benchmarks.result import machine, timed
from tests.benchmarks.lookup import FOUND


def test_a_result_is_formatted_as_a_table() -> None:
    lines = FOUND.table().split("\n")
    assert lines[0] == "lookup"
    assert lines[1].split() == ["median", "0.25", "ms", "of", "10"]
    assert lines[2].split() == ["rows", "1,234,567", "per", "s"]
    assert lines[3].split() == ["speed", "0.72", "at", "least", "0.7:", "held"]
    assert lines[4].split() == ["memory", "5", "at", "most", "4:", "MISSED"]


def test_functions_are_timed_in_turns() -> None:
    done: list[str] = []
    laps = timed(3, lambda: done.append("a"), lambda: done.append("b"))
    assert done == ["a", "b"] * 3
    assert len(laps) == 2
    assert all(seconds >= 0 for seconds in laps)


def test_the_machine_is_described() -> None:
    assert {"processor", "cores", "load", "duckdb", "polars"} <= set(machine())
