"""Benchmarks measure what they say; how fast is no matter of tests."""

from __future__ import annotations

import importlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_profile
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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_tiny_profile_has_every_stage(dtype: str) -> None:
    plan = replace(gpu_profile.tiny_plan("cpu", dtype), peak=1e12)
    figures = {figure.name: figure.value for figure in gpu_profile.profile(plan).figures}
    for name in gpu_profile.STAGES:
        assert figures[f"{name}: seconds"] > 0
        assert figures[f"{name}: operations"] > 0
        share = figures[f"{name}: operations"] / figures[f"{name}: seconds"]
        assert figures[f"{name}: share of peak"] == pytest.approx(100 * share)
    twice = gpu_profile.profile(replace(plan, steps=2 * plan.steps)).figures
    (render,) = (f.value for f in twice if f.name == "render: operations")
    assert figures["render: operations"] < render < 2 * figures["render: operations"]


def test_a_stage_inside_another_counts_by_itself() -> None:
    stages = gpu_profile.Stages()
    with stages("write"), stages("decode"):
        time.sleep(0.05)
    assert stages.spent["decode"].seconds > 0.04 > stages.spent["write"].seconds


def test_the_profile_says_that_it_needs_an_accelerator(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_profile"])
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    with pytest.raises(SystemExit) as ended:
        gpu_profile.main()
    assert ended.value.code == 1
    assert "needs an accelerator" in capsys.readouterr().err


def test_the_profile_is_no_part_of_the_benchmarks() -> None:
    assert not hasattr(gpu_profile, "measure")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["publish", "serve"])
def test_a_small_run_gives_every_figure(name: str, tmp_path: Path) -> None:
    result = importlib.import_module(f"benchmarks.{name}").measure(tmp_path, 0.001)
    assert len(result.figures) > 5
    assert all(figure.value > 0 for figure in result.figures)
    assert [bar.wanted for bar in result.bars] == ([0.7] if name == "publish" else [])
