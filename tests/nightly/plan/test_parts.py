"""Nights planned in parts: the same plan whatever the number of parts, in any order of work."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pigeon_rec.config import CohortConfig, NightlyConfig, PlanConfig
from pigeon_rec.drawing.models import ChosenModel
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import (
    PlanSummary,
    plan_night,
    plan_parts,
    recommend,
    split,
    split_users,
)
from pigeon_rec.nightly.steps import run_step
from tests.nightly.plan.plans import planned, publish_rejections, run, write_recommendations
from tests.small_world import NIGHT, PixelEncoder, write_catalogue, write_interactions

ITEMS = [f"i{number:02d}" for number in range(24)]
DAY = dt.timedelta(days=1)
USERS = [f"u{number * 7919 % 1000:03d}" for number in range(60)]
TABLES = ("plan", "explained", "skipped", "cohorts", "problems")
GIVEN: dict[str, Any] = {"encoder": PixelEncoder(), "model_version": "model-1"}


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    """Sixty users of twelve histories, so that many priorities tie, and rows of every fault."""
    histories = {user: ITEMS[n % 12 : n % 12 + 8] for n, user in enumerate(USERS)}
    histories |= {"short": ITEMS[:3], "cohort:9": ITEMS[:8], "idle": ITEMS[:9]}
    rows = [
        (user, ITEMS[(12 + n % 3 + rank) % 24], -float(rank))
        for n, user in enumerate([*USERS, "short", "cohort:9", "new"])
        for rank in range(6)
    ]
    rows += [(USERS[0], ITEMS[15], -9.0), (USERS[1], "yeti", 1.0), (USERS[30], "yeti", 1.0)]
    rows += [("", ITEMS[0], 1.0), (USERS[2], ITEMS[20], float("nan"))]
    interactions = write_interactions(tmp_path / "interactions.parquet", histories)
    frame = pl.read_parquet(interactions)
    strange = frame[:3].with_columns(item_id=pl.lit("ghost"))
    nobody = frame[:2].with_columns(user_id=pl.lit(None, pl.String))
    pl.concat([frame, strange, nobody]).sample(fraction=1.0, shuffle=True, seed=1).write_parquet(
        interactions
    )
    catalogue = write_catalogue(tmp_path, len(ITEMS))
    (tmp_path / "images" / "i17.png").unlink()
    return NightlyConfig(
        catalogue=str(catalogue),
        interactions=str(interactions),
        recommendations=write_recommendations(tmp_path / "top.parquet", rows),
        work_dir=tmp_path / "var",
        plan=PlanConfig(
            max_assets=500,
            max_assets_per_user=2,
            shards=3,
            cohorts=CohortConfig(count=3, min_users=5, references=4, max_share=0.2),
        ),
    )


def limited(config: NightlyConfig, **limits: object) -> NightlyConfig:
    return config.model_copy(update={"plan": config.plan.model_copy(update=limits)})


def tables(config: NightlyConfig, date: dt.date) -> dict[str, pl.DataFrame]:
    paths = NightPaths.of(config, date)
    assert not paths.parts.exists()
    return {name: pl.read_parquet(getattr(paths, name)) for name in TABLES}


def in_parts(
    config: NightlyConfig, users_per_part: int, date: dt.date = NIGHT
) -> tuple[PlanSummary, dict[str, pl.DataFrame]]:
    summary = run(limited(config, users_per_part=users_per_part), date)
    return summary, tables(config, date)


def assert_same_in_parts(config: NightlyConfig, date: dt.date) -> PlanSummary:
    """Plans in 1, 3 and 7 parts, and returns the summary that all of them have."""
    whole, expected = in_parts(config, 500, date)
    for users_per_part, count in ((24, 3), (10, 7)):
        summary, found = in_parts(config, users_per_part, date)
        info = NightPaths.of(config, date).recommendations_info.read_text(encoding="utf-8")
        assert len(json.loads(info)["firsts"]) + 1 == count
        assert dataclasses.asdict(summary) == dataclasses.asdict(whole)
        for name in TABLES:
            assert found[name].equals(expected[name]), name
    return whole


def refuse_some(config: NightlyConfig) -> None:
    """Publishes a night that has refused every fifth of all pairs, and cohorts' requests."""
    everything = limited(config, max_assets_per_user=9)
    run(everything)
    pairs = planned(everything).select("user_id", "item_id").rows()
    of_cohorts = [pair for pair in pairs if pair[0].startswith("cohort:")]
    publish_rejections(everything, NIGHT, {*pairs[::5], *of_cohorts[:2]}, "off_target")


@pytest.mark.parametrize("budget", [1, 20, 53, 500])
def test_the_plan_is_the_same_in_any_number_of_parts(config: NightlyConfig, budget: int) -> None:
    summary = assert_same_in_parts(limited(config, max_assets=budget), NIGHT)
    assert summary.planned == min(budget, 120 + summary.cohort_requests)
    assert summary.reasons == {
        "broken_image": 60,
        "reserved_user": 6,
        "short_history": 12,
        "unknown_item": 2,
    }
    plan = tables(config, NIGHT)["plan"]
    if 1 < budget < 500:  # the users' pairs of the least priority that is planned are not all in
        lowest = pl.col("priority") == plan["priority"][-1]
        explained = tables(config, NIGHT)["explained"]
        decided = explained.filter(pl.col("detail").str.contains("the last pair within the budget"))
        tied = pl.col("detail").str.extract(r"^priority ([^;]+);") == str(plan["priority"][-1])
        assert plan.filter(lowest).height
        assert decided.filter(tied).height


@pytest.mark.parametrize("budget", [7, 30])
def test_refusals_of_earlier_nights_give_way_alike(config: NightlyConfig, budget: int) -> None:
    refuse_some(config)
    summary = assert_same_in_parts(limited(config, max_assets=budget), NIGHT + DAY)
    assert summary.refused_before["off_target"] > 0
    reasons = tables(config, NIGHT + DAY)["explained"]["reason"]
    assert "known_refusal" in reasons


def test_repeated_failures_and_a_budget_in_minutes(config: NightlyConfig) -> None:
    few = limited(config, max_minutes=0.5, max_attempts=2)
    for day in range(2):
        run(few, NIGHT + day * DAY)
        pairs = planned(few, NIGHT + day * DAY).select("user_id", "item_id").rows()
        publish_rejections(few, NIGHT + day * DAY, set(pairs[::2]), "drawing_failed")
    summary = assert_same_in_parts(few, NIGHT + 2 * DAY)
    assert summary.budget == 17
    assert summary.refused_before == {"drawing_failed": 17}  # equal histories share a key


def test_parts_may_be_planned_one_by_one_in_any_order(config: NightlyConfig) -> None:
    whole, expected = in_parts(config, 500)
    parted = limited(config, users_per_part=24)
    recommend(parted, NIGHT)
    numbers = split_users(parted, NIGHT, **GIVEN)
    assert numbers == [0, 1, 2]
    for number in (2, 0):
        [summary] = plan_parts(parted, NIGHT, number, **GIVEN)
        assert summary.part == number
    before = NightPaths.of(parted, NIGHT).part(2).info.stat().st_mtime_ns
    assert [summary.part for summary in plan_parts(parted, NIGHT, **GIVEN)] == numbers
    assert NightPaths.of(parted, NIGHT).part(2).info.stat().st_mtime_ns == before
    again = plan_night(parted, NIGHT, **GIVEN)
    assert dataclasses.asdict(again) == dataclasses.asdict(whole)
    assert all(found.equals(expected[name]) for name, found in tables(config, NIGHT).items())


def test_the_steps_of_the_command_line_plan_in_parts(
    config: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "night_model", lambda _: ChosenModel("sticker-64", "model-1"))
    monkeypatch.setattr(split, "_load_encoder", lambda _: PixelEncoder())
    whole, expected = in_parts(config, 500)
    parted = limited(config, users_per_part=24)
    assert run_step("recommend", parted, NIGHT)["parts"] == 3
    assert run_step("split", parted, NIGHT) == {"parts": [0, 1, 2]}
    one = run_step("plan-part", parted, NIGHT, number=1)
    others = run_step("plan-part", parted, NIGHT)
    assert (one["parts"], others["parts"]) == ([1], [0, 1, 2])
    assert others["pairs"] + whole.skipped == whole.recommendations
    assert run_step("plan", parted, NIGHT)["planned"] == whole.planned
    found = tables(config, NIGHT)
    assert all(found[name].equals(expected[name]) for name in ("explained", "cohorts"))


def test_a_split_of_other_settings_or_tables_is_not_used(config: NightlyConfig) -> None:
    parted = limited(config, users_per_part=24)
    recommend(parted, NIGHT)
    split_users(parted, NIGHT, **GIVEN)
    other = limited(parted, min_interactions=2)
    with pytest.raises(PlanError, match="not divided into parts, or settings or tables"):
        plan_parts(other, NIGHT, **GIVEN)
    summary = plan_night(other, NIGHT, **GIVEN)
    assert summary.reasons["short_history"] == 6
    with pytest.raises(PlanError, match=r"split\.json.*nightly split"):
        plan_parts(parted, NIGHT, **GIVEN)


def test_there_is_no_part_beyond_the_last(config: NightlyConfig) -> None:
    parted = limited(config, users_per_part=24)
    recommend(parted, NIGHT)
    split_users(parted, NIGHT, **GIVEN)
    with pytest.raises(PlanError, match=r"no part 3.*from 0 to 2"):
        plan_parts(parted, NIGHT, 3, **GIVEN)


def test_few_users_are_not_divided(config: NightlyConfig) -> None:
    recommend(config, NIGHT)
    assert split_users(config, NIGHT, **GIVEN) == []
    assert not NightPaths.of(config, NIGHT).parts.exists()


def test_more_parts_and_fewer_leave_no_old_files(config: NightlyConfig) -> None:
    paths = NightPaths.of(config, NIGHT)
    recommend(limited(config, users_per_part=10), NIGHT)
    assert len(list(paths.recommendation_parts.iterdir())) == 7
    assert not paths.recommendations.exists()
    recommend(limited(config, users_per_part=24), NIGHT)
    assert len(list(paths.recommendation_parts.iterdir())) == 3
    recommend(config, NIGHT)
    assert not paths.recommendation_parts.exists()
    assert paths.recommendations.exists()


def test_ids_that_do_not_meet_are_shown_in_parts_too(config: NightlyConfig) -> None:
    frame = pl.read_parquet(config.interactions).with_columns(pl.col("user_id") + ".0")
    frame.write_parquet(config.interactions)
    parted = limited(config, users_per_part=24)
    with pytest.raises(PlanError, match=r"and the interactions '") as divided:
        run(parted)
    with pytest.raises(PlanError) as whole:
        run(config)
    assert str(divided.value) == str(whole.value)
