"""Benchmarks measure what they say; how fast is no matter of tests."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

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
from benchmarks.ratios import fitted_three, reached
from pigeon_rec.config import GenerationConfig
from pigeon_rec.demo.stickers import load_training_stickers
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.cases import CASE_SCHEMA
from pigeon_rec.evaluation.tables import write_between
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan.night import PLAN_SCHEMA
from tests.model.tiny import QUICK, pictures, tiny_pipeline
from tests.small_world import NIGHT

Scores = np.typing.NDArray[np.float64]


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
