"""A small run of the comparison of parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import plan_parts


@pytest.mark.slow
def test_a_small_night_is_the_same_in_parts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(plan_parts, "PARTS", (1, 3))
    monkeypatch.setattr(plan_parts, "SHARES", (0.5, 1.0))
    result = plan_parts.measure(tmp_path, 0.0005)
    bars = {bar.name: bar for bar in result.bars}
    assert bars["different plans"].value == 1
    # The peak of a process begins with that of its parent, here the process of all tests.
    assert set(bars) >= {
        *("memory of a process", "time of 3 parts", "exponent of time", "exponent of memory")
    }
    processes = [figure.note for figure in result.figures if "peak memory" in figure.name]
    assert len(processes) == 4
    assert "plan-part" in processes[1]
    assert "plan-part" not in processes[0]
