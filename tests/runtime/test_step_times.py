"""Times of steps: of finished ones only, whatever else lies in their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pigeon_rec.runtime.step_times import read_step_times, timed


def test_a_step_that_fails_leaves_the_time_of_the_last_that_did_not(tmp_path: Path) -> None:
    with timed(tmp_path / "seconds", "plan"):
        pass
    before = read_step_times(tmp_path / "seconds")
    assert list(before) == ["plan"]
    assert before["plan"] >= 0
    with pytest.raises(ValueError, match="no plan"), timed(tmp_path / "seconds", "plan"):
        raise ValueError("no plan")
    assert read_step_times(tmp_path / "seconds") == before


def test_damaged_files_are_left_out(tmp_path: Path) -> None:
    for name, text in {
        "check": '{"seconds": 1.5}',
        "plan": "{",
        "publish": "[]",
        "promote": '{"seconds": null}',
        "report": '{"minutes": 1}',
        ".run.1.tmp": '{"seconds": 1}',
    }.items():
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    assert read_step_times(tmp_path) == {"check": 1.5}
    assert read_step_times(tmp_path / "missing") == {}
