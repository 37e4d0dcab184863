"""The published loop against a night: the plan, the table and the comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import generation
from benchmarks.generation import BEGIN, END, Clock, Row, World, compared, table
from benchmarks.techniques import ALL, draw, drawer_for, selection_scores
from pigeon_rec.data.world import load_world
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.cases import CASE_SCHEMA, held_out_cases
from pigeon_rec.evaluation.tables import write_between
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import PLAN_SCHEMA
from tests.small_world import NIGHT


def test_the_ablation_is_a_table_between_its_marks(tmp_path: Path) -> None:
    loop = Row("the published loop", 6.0, np.array([0.5, 0.6]))
    shown = table([loop, Row("all", 0.5, np.array([0.5, 0.7]))])
    assert "| the published loop | 6.00 | 1.0 | 55.0 | +0.0 (+0.0 to +0.0) |" in shown
    assert "| all | 0.50 | 12.0 | 60.0 | +5.0 (+0.0 to +10.0) |" in shown
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n", encoding="utf-8")
    write_between(shown, page, BEGIN, END)
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n{shown}{END}\nbehind\n"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(ConfigError, match="no marks for the table"):
        write_between(shown, page, BEGIN, END)


def test_cases_are_planned_as_a_night(tmp_path: Path) -> None:
    stickers = load_world("bundled").training_artwork()["item_id"].to_list()
    rows = [
        (f"u/{n}", "u", stickers[n : n + 5], stickers[n + 5], stickers[n + 6], "cat", "noto")
        for n in range(50)
    ]
    world = World(pl.DataFrame(rows, schema=CASE_SCHEMA, orient="row"), tmp_path)
    plan = pl.read_parquet(NightPaths.of(world.night, NIGHT).plan)
    assert plan.schema == PLAN_SCHEMA
    assert plan["shard"].value_counts().sort("shard").rows() == [(0, 25), (1, 25)]
    assert [f"{key}/0" for key in plan["asset_key"]] == [r.key for r in world.requests]
    assert plan["item_id"].to_list() == [request.reference for request in world.requests]
    assert plan["history_ids"].to_list() == [list(request.history) for request in world.requests]


def test_time_and_score_are_compared() -> None:
    theirs, mine = np.array([0.5, 0.6, 0.7]), np.array([0.6, 0.6, 0.75])
    result = compared(Clock(90.0, 30.0), Clock(10.0, 3.0), theirs, mine)
    figures = {figure.name: figure.value for figure in result.figures}
    assert figures["loop"] == 30.0
    assert figures["ratio, processor"] == 10.0
    assert figures["night above loop"] == pytest.approx(0.05)
    assert [bar.value for bar in result.bars] == pytest.approx([9.0, 0.65 / 0.6])
    assert all(bar.met for bar in result.bars)
    slower = compared(Clock(50.0, 1.0), Clock(10.0, 1.0), mine, theirs)
    assert not any(bar.met for bar in slower.bars)


@pytest.mark.slow
def test_a_few_cases_of_the_loop_and_of_a_night(tmp_path: Path) -> None:
    result = generation.measure(tmp_path, 0.01)
    figures = {figure.name: figure.value for figure in result.figures}
    assert figures["loop, processor"] > figures["night, processor"] > 0
    requests, drawer = World(held_out_cases(2, 0), tmp_path).requests, drawer_for(ALL)
    images = draw(drawer, requests, ALL)
    scores = selection_scores(drawer, requests, images, keep_scorer=True)
    # A night serves the best candidate, or a worse one if the quality gate refuses it.
    served = figures["night, selection score"]
    assert scores.min(axis=1).mean() - 1e-5 <= served <= scores.max(axis=1).mean() + 1e-5
