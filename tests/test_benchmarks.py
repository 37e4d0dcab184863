"""Benchmarks measure what they say; how fast is no matter of tests."""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import capacity, gpu_profile, growth, scoring
from benchmarks.__main__ import measures
from benchmarks.made_assets import SIDE, made_night
from benchmarks.result import Bar, Curve, Figure, Result, machine, main, run, timed
from pigeon_rec.warehouse import image_faults, stage

Scores = np.typing.NDArray[np.float64]

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


def test_a_missed_bar_is_told_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = Curve("planning", "users", "MB", [1, 10], [2.0, 11.0], 1.0, 1.0)
    after = Result("growth", [Figure("x", 1.0, "s")], curves=[curve])
    with pytest.raises(SystemExit) as ended:
        run([lambda _, __: FOUND, lambda _, __: after], scale=1.0, as_json=False, out=tmp_path)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "missed\n  lookup: memory\n"
    written = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert [result["name"] for result in written["results"]] == ["lookup", "growth"]
    assert written["results"][1]["curves"][0]["costs"] == [2.0, 11.0]
    for name in ("ratios.png", "growth.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_what_is_known_is_kept_when_a_later_one_breaks(tmp_path: Path) -> None:
    def breaks(_: Path, __: float) -> Result:
        raise LookupError("no Airflow here")

    with pytest.raises(LookupError):
        run([lambda _, __: FOUND, breaks], scale=0.1, as_json=True, out=tmp_path)
    assert (
        json.loads((tmp_path / "bench.json").read_text("utf-8"))["results"][0]["name"] == "lookup"
    )


def test_benchmarks_are_chosen_by_module() -> None:
    assert measures(["scoring", "growth"]) == [scoring.measure, growth.measure]
    with pytest.raises(LookupError, match="no benchmark has the name nothing, memory"):
        measures(["nothing", "memory"])


@pytest.mark.parametrize(("power", "constant"), [(1.0, 0.0), (0.5, 3.0), (2.0, 40.0)])
def test_the_exponent_of_a_power_law_is_found(power: float, constant: float) -> None:
    sizes = [10, 30, 100, 300, 1000]
    costs = [constant + 0.2 * size**power for size in sizes]
    assert growth.fitted_exponent(sizes, costs, constant) == pytest.approx(power)


def test_points_at_the_constant_say_nothing() -> None:
    assert growth.fitted_exponent([1, 10, 100], [2.0, 12.0, 102.0], 2.0) == pytest.approx(1.0)
    assert math.isnan(growth.fitted_exponent([1, 10], [2.0, 3.0], 2.0))


def test_small_work_has_a_cost(tmp_path: Path) -> None:
    for work in (growth._retrieve, growth._plan):
        cost = work(growth.Sizes(20, 100, 6), tmp_path)
        assert cost.processor > 0
        assert cost.memory < 1000


def test_both_ways_of_scoring_agree() -> None:
    sample = scoring.made_samples(8)
    ours, theirs = scoring.batched(sample), scoring.one_by_one(sample)
    assert ours.keys() == theirs.keys() == {"text", "history", "reference"}
    for name in ours:
        assert ours[name].shape == (8, 2)
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)


SAMPLED = capacity.Scenario(8_000, 400, own=200, cohorts=2, references=3)


def test_a_sampled_plan_is_the_planners_own() -> None:
    outcome = capacity.simulate(SAMPLED)
    assert (outcome.own, outcome.shared, outcome.budget) == (10, 6, 16)
    assert outcome.in_cohorts == 400
    assert outcome.pictures == 200 + 6


def test_the_table_follows_the_formula(tmp_path: Path) -> None:
    outcome = capacity.Outcome(SAMPLED, 10, 6, 400, 16, 2.0, 3.0, 0.5, busy=False)
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- capacity -->\nold\n<!-- end of capacity -->\nb\n", "utf-8")
    capacity.write_table(page, capacity.table([outcome], 3600.0))
    lines = page.read_text("utf-8").splitlines()
    assert (lines[0], lines[1], lines[-2], lines[-1]) == (
        *("a", "<!-- capacity -->", "<!-- end of capacity -->", "b"),
    )
    assert lines[-3].split(" | ")[3:] == [
        *("200 (10 x 20)", "6", "100%", "40 s, 10.0 GB (estimate)", "206", "26 |"),
    ]
    bare = tmp_path / "bare.md"
    bare.write_text("no marks", "utf-8")
    with pytest.raises(LookupError, match="0 places"):
        capacity.write_table(bare, "")


def test_only_a_measured_night_tells_what_a_picture_takes(tmp_path: Path) -> None:
    for nights, name in ((0, "first.json"), (3, "later.json")):
        facts = {"measured_nights": nights, "seconds_per_asset": 0.9}
        (tmp_path / name).write_text(json.dumps(facts), "utf-8")
    assert capacity.measured_seconds(tmp_path / "later.json") == 0.9
    with pytest.raises(LookupError, match="before any night was measured"):
        capacity.measured_seconds(tmp_path / "first.json")


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
@pytest.mark.parametrize(
    ("name", "bars"),
    [("publish", [0.7]), ("serve", []), ("start", [0.5, 0.3, 0.3]), ("scoring", [])],
)
def test_a_small_run_gives_every_figure(name: str, bars: list[float], tmp_path: Path) -> None:
    result = importlib.import_module(f"benchmarks.{name}").measure(tmp_path, 0.001)
    assert len(result.figures) > 3
    assert all(figure.value > 0 for figure in result.figures)
    assert [bar.wanted for bar in result.bars] == bars
