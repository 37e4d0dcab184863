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
import polars as pl
import pytest
import torch

from benchmarks import capacity, gpu_profile, growth, scoring
from benchmarks.__main__ import measures
from benchmarks.generation import (
    ALL,
    BEGIN,
    END,
    NONE,
    Ask,
    Clock,
    Measures,
    Row,
    World,
    draw,
    pipeline_for,
    selection_scores,
    table,
    told,
    write,
)
from benchmarks.made_assets import SIDE, made_night
from benchmarks.ratios import fitted_three, reached
from benchmarks.result import Bar, Curve, Figure, Result, machine, main, run, timed
from pigeon_rec.config import GenerationConfig
from pigeon_rec.demo.stickers import load_training_stickers
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.cases import CASE_SCHEMA
from pigeon_rec.evaluation.tables import write_between
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import PLAN_SCHEMA
from pigeon_rec.warehouse import image_faults, stage
from tests.model.tiny import QUICK, pictures, tiny_pipeline
from tests.small_world import NIGHT

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


def small_ask() -> Ask:
    """Three cases over six pictures, two of them in several histories."""
    return Ask(
        item_ids=[f"i{number}" for number in range(6)],
        images=pictures(6),
        history=np.array([[0, 1], [1, 2], [0, 3]]),
        reference=np.array([4, 5, 4]),
        targets=["a red apple", "a cat", "a sticker"],
        semantics=["apple", "cat", "sticker"],
        keys=["a/0", "b/0", "c/0"],
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_pipeline().save_pretrained(folder)
    return str(folder)


def test_all_measures_are_the_night_and_none_the_published_runs() -> None:
    assert ALL.settings == GenerationConfig()
    assert NONE.settings == PUBLISHED_GENERATION


def test_all_measures_draw_what_the_pipeline_draws(saved: str) -> None:
    pipeline, ask = pipeline_for(ALL, saved), small_ask()
    wanted = pipeline(
        ask.images[ask.history], ask.images[ask.reference], ask.targets,
        keys=ask.keys, settings=QUICK,
    )  # fmt: skip
    assert np.array_equal(draw(pipeline, ask, ALL, QUICK), wanted.images)


@pytest.mark.parametrize("off", [{"codes": False}, {"prefix": False}, {"batches": False}])
def test_what_only_saves_time_changes_no_picture(off: dict[str, bool], saved: str) -> None:
    ask, slower = small_ask(), replace(ALL, **off)
    fast = draw(pipeline_for(ALL, saved), ask, ALL, QUICK)
    slow = draw(pipeline_for(slower, saved), ask, slower, QUICK)
    # Sums of another shape of batch are taken in another order.
    assert np.abs(fast.astype(int) - slow.astype(int)).max() <= int("batches" in off)


def test_what_is_off_is_done_again(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def encoded(measures: Measures) -> int:
        pipeline, images = pipeline_for(measures, saved), 0
        plain = pipeline.encode_images

        def counting(some: np.typing.NDArray[np.uint8]) -> np.typing.NDArray[np.int64]:
            nonlocal images
            images += len(some)
            return plain(some)

        monkeypatch.setattr(pipeline, "encode_images", counting)
        draw(pipeline, small_ask(), measures, QUICK)
        return images

    assert encoded(ALL) == 6  # each picture once
    assert encoded(replace(ALL, codes=False)) == 3 * 3  # those of each case
    assert encoded(replace(NONE, solver=True)) == 2 * 3 * 3  # and at each ratio


def test_the_solver_is_the_one_named(saved: str) -> None:
    named = {
        measures.solver: type(pipeline_for(measures, saved).generator.sampler()).__name__
        for measures in (ALL, NONE)
    }
    assert named == {True: "DPMSolverMultistepScheduler", False: "DDIMScheduler"}


@pytest.mark.parametrize("on", ["bfloat16", "eight_bits", "planes"])
def test_what_a_night_does_not_do_draws_as_well(on: str, saved: str) -> None:
    other = replace(ALL, **{on: True})
    drawn = draw(pipeline_for(other, saved), small_ask(), other, QUICK)
    plain = draw(pipeline_for(ALL, saved), small_ask(), ALL, QUICK)
    assert drawn.shape == plain.shape
    if on == "planes":
        assert np.abs(drawn.astype(int) - plain.astype(int)).max() <= 1
    else:
        assert (drawn != plain).any()


def test_the_ablation_reads_as_a_table_between_its_marks(tmp_path: Path) -> None:
    loop = Row("the published loop", 6.0, np.array([0.5, 0.6]))
    told = table([loop, Row("all", 0.5, np.array([0.5, 0.7]))])
    assert "| the published loop | 6.00 | 1.0 | 55.0 | +0.0 (+0.0 to +0.0) |" in told
    assert "| all | 0.50 | 12.0 | 60.0 | +5.0 (+0.0 to +10.0) |" in told
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n", encoding="utf-8")
    write_between(told, page, BEGIN, END)
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n{told}{END}\nbehind\n"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ConfigError, match="no place for the table"):
        write_between(told, page, BEGIN, END)


def test_what_a_rule_reaches_is_the_best_that_it_renders() -> None:
    scores = np.array([[0.1, 0.3, 0.2], [0.5, 0.1, 0.6]])
    assert reached(scores, (0, 2)).tolist() == [0.2, 0.6]
    assert reached(scores, np.array([[1], [0]])).tolist() == [0.3, 0.5]
    many = np.random.default_rng(0).normal(size=(60, 11))
    many[:, 7] += 1.0
    three = fitted_three(many)
    assert 7 in three
    assert all(
        reached(many, three).mean() >= reached(many, (7, *other)).mean()
        for other in ((0, 1), (9, 10), (3, 5))
    )


def test_the_best_previews_are_rendered_and_nothing_else(
    saved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scorer likes bright pictures, which those of the tiny model are by chance."""

    def brightness(drawn: np.typing.NDArray[np.uint8], *_: object, **__: object) -> Scores:
        seen: Scores = drawn.mean(axis=(2, 3, 4))
        return seen

    monkeypatch.setattr("benchmarks.generation.selection_scores", brightness)
    pipeline, ask = pipeline_for(ALL, saved), small_ask()
    every = draw(pipeline, ask, ALL, QUICK)
    seen = brightness(pipeline.preview(write(pipeline, ask, ALL, QUICK)))
    some = draw(pipeline, ask, ALL, QUICK.model_copy(update={"rendered": 1}))
    assert some.shape == (len(ask), 1, *every.shape[2:])
    for case, place in enumerate(seen.argmax(axis=1)):
        assert np.array_equal(some[case, 0], every[case, place])


def test_cases_are_planned_as_a_night(tmp_path: Path) -> None:
    stickers = load_training_stickers()["item_id"].to_list()
    rows = [
        (f"u/{n}", "u", stickers[n : n + 5], stickers[n + 5], stickers[n + 6], "cat", "noto")
        for n in range(50)
    ]
    world = World(pl.DataFrame(rows, schema=CASE_SCHEMA, orient="row"), tmp_path)
    plan = pl.read_parquet(NightPaths.of(world.night, NIGHT).plan)
    assert plan.schema == PLAN_SCHEMA
    assert plan["shard"].value_counts().sort("shard").rows() == [(0, 25), (1, 25)]
    assert [f"{key}/0" for key in plan["asset_key"]] == world.ask.keys
    pictured = [world.ask.item_ids[place] for place in world.ask.reference]
    assert pictured == plan["item_id"].to_list()
    seen = [[world.ask.item_ids[place] for place in places] for places in world.ask.history]
    assert seen == plan["history_ids"].to_list()


def test_a_night_is_held_against_the_loop_by_time_and_score() -> None:
    theirs, mine = np.array([0.5, 0.6, 0.7]), np.array([0.6, 0.6, 0.75])
    result = told(Clock(90.0, 30.0), Clock(10.0, 3.0), theirs, mine)
    figures = {figure.name: figure.value for figure in result.figures}
    assert figures["loop"] == 30.0
    assert figures["ratio, processor"] == 10.0
    assert figures["night above loop"] == pytest.approx(0.05)
    assert [bar.value for bar in result.bars] == pytest.approx([9.0, 0.65 / 0.6])
    assert all(bar.met for bar in result.bars)
    assert not any(bar.met for bar in told(Clock(50.0, 1.0), Clock(10.0, 1.0), mine, theirs).bars)


@pytest.mark.slow
def test_a_few_cases_of_the_loop_and_of_a_night(tmp_path: Path) -> None:
    generation = importlib.import_module("benchmarks.generation")
    result = generation.measure(tmp_path, 0.01)
    figures = {figure.name: figure.value for figure in result.figures}
    assert figures["loop, processor"] > figures["night, processor"] > 0
    cases = generation.held_out_cases(2, 0)
    ask = generation.World(cases, tmp_path).ask
    scores = selection_scores(draw(pipeline_for(ALL), ask, ALL), ask, kept=True)
    # What a night serves is the best candidate, or one behind it where the gate refuses that.
    served = figures["night, selection score"]
    assert scores.min(axis=1).mean() - 1e-5 <= served <= scores.max(axis=1).mean() + 1e-5
