"""Benchmarks measure what they say; how fast is no matter of tests."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks.made_assets import SIDE, made_night
from benchmarks.result import Bar, Figure, Result, machine, main, timed
from pigeon_rec.warehouse import image_faults, stage

FOUND = Result(
    "lookup",
    [Figure("median", 0.25, "ms", "of 10"), Figure("rows", 1234567.0, "per s")],
    [Bar("speed", 0.72, 0.7), Bar("memory", 5.0, 4.0, at_least=False)],
)


def test_a_result_reads_as_a_table() -> None:
    lines = FOUND.table().split("\n")
    assert lines[0] == "lookup"
    assert lines[1].split() == ["median", "0.25", "ms", "of", "10"]
    assert lines[2].split() == ["rows", "1,234,567", "per", "s"]
    assert lines[3].split() == ["speed", "0.72", "at", "least", "0.7:", "held"]
    assert lines[4].split() == ["memory", "5", "at", "most", "4:", "MISSED"]


@pytest.mark.parametrize(("scale", "ends"), [("1", True), ("0.5", False)])
def test_a_missed_bar_ends_a_full_run_with_1(
    scale: str,
    ends: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", "--json", "--scale", scale])
    code = 0
    try:
        main(lambda _, __: FOUND)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == int(ends)
    printed = json.loads(capsys.readouterr().out)
    assert printed["machine"]["cores"] >= 1
    assert printed["results"][0]["bars"][1] == {
        "name": "memory",
        "value": 5.0,
        "wanted": 4.0,
        "at_least": False,
        "met": False,
    }


def test_work_is_timed_in_turns() -> None:
    done: list[str] = []
    laps = timed(3, lambda: done.append("a"), lambda: done.append("b"))
    assert done == ["a", "b"] * 3
    assert len(laps) == 2
    assert all(seconds >= 0 for seconds in laps)


def test_the_machine_is_told() -> None:
    assert {"processor", "cores", "load", "duckdb", "polars"} <= set(machine())


def test_made_nights_pass_every_check(tmp_path: Path) -> None:
    night = made_night(500)
    assert image_faults(night.assets).rows() == []
    assert night.assets["image_sha256"].n_unique() == 500
    assert night.assets.select("width", "height").unique().rows() == [(SIDE, SIDE)]
    assert stage(night, tmp_path / "staged").night.run_assets.height == 500


@pytest.mark.slow
@pytest.mark.parametrize("name", ["publish", "serve"])
def test_a_small_run_gives_every_figure(name: str, tmp_path: Path) -> None:
    result = importlib.import_module(f"benchmarks.{name}").measure(tmp_path, 0.001)
    assert len(result.figures) > 5
    assert all(figure.value > 0 for figure in result.figures)
    assert [bar.wanted for bar in result.bars] == ([0.7] if name == "publish" else [])
