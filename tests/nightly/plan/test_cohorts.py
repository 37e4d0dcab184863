"""Plans with cohorts: their members, the decision on every pair, and which keys change."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pigeon_rec.config import (
    CohortConfig,
    GenerationConfig,
    NightlyConfig,
    PlanConfig,
    ReportConfig,
)
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import (
    DEFAULT_SECONDS,
    PlanSummary,
    plan_night,
    recommend,
)
from pigeon_rec.warehouse import NIGHT_SCHEMAS
from tests.small_world import NIGHT, PixelEncoder, png, write_catalogue, write_interactions

ITEMS = [f"i{number:02d}" for number in range(16)]
REFERENCES = ITEMS[12:]
# Two tastes of three users each, and one user with too little history for pictures of their own.
TASTES = {"a": ITEMS[:6], "b": ITEMS[6:12]}
HISTORIES = {f"{taste}{n}": items for taste, items in TASTES.items() for n in range(3)} | {
    "new": ITEMS[:4]
}
PLAN = PlanConfig(
    max_assets=10,
    max_assets_per_user=1,
    shards=2,
    cohorts=CohortConfig(count=2, references=2, min_users=3, max_share=0.5),
)


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    rows = [(user, item, -float(r)) for user in HISTORIES for r, item in enumerate(REFERENCES)]
    recommendations = tmp_path / "top.parquet"
    pl.DataFrame(rows, ["user_id", "item_id", "score"], orient="row").write_parquet(recommendations)
    return NightlyConfig(
        catalogue=str(write_catalogue(tmp_path, len(ITEMS))),
        interactions=str(write_interactions(tmp_path / "interactions.parquet", HISTORIES)),
        recommendations=str(recommendations),
        work_dir=tmp_path / "var",
        plan=PLAN,
    )


def run(config: NightlyConfig, date: dt.date = NIGHT, version: str = "model-1") -> PlanSummary:
    recommend(config, date)
    return plan_night(config, date, encoder=PixelEncoder(), model_version=version)


def table(config: NightlyConfig, name: str, date: dt.date = NIGHT) -> pl.DataFrame:
    return pl.read_parquet(getattr(NightPaths.of(config, date), name))


def keys(config: NightlyConfig, date: dt.date = NIGHT) -> dict[tuple[str, str], str]:
    plan = table(config, "plan", date)
    return {
        (user, item): key
        for user, item, key in plan.select("user_id", "item_id", "asset_key").rows()
    }


def without_cohorts(config: NightlyConfig) -> NightlyConfig:
    off = PLAN.model_copy(update={"cohorts": CohortConfig(count=0)})
    return config.model_copy(update={"plan": off})


def test_cohorts_are_planned_within_the_budget_and_cover_users_with_little_history(
    config: NightlyConfig,
) -> None:
    summary = run(config)
    plan = table(config, "plan")
    members = dict(table(config, "cohorts").rows())
    assert set(members) == set(HISTORIES)
    assert members["a0"] == members["a1"] == members["new"] != members["b0"]
    of_cohorts = plan.filter(pl.col("user_id").str.starts_with("cohort:"))
    assert (summary.cohorts, summary.cohort_requests) == (2, of_cohorts.height) == (2, 4)
    assert (summary.planned, summary.users, summary.budget) == (10, 6, 10)
    for row in of_cohorts.iter_rows(named=True):
        taste = "a" if row["user_id"] == members["a0"] else "b"
        assert set(row["history_ids"]) <= set(TASTES[taste])
        assert len(row["history_ids"]) == 5
        assert row["item_id"] in REFERENCES[:2]


def test_cohorts_get_the_references_with_most_expected_views(
    config: NightlyConfig,
) -> None:
    recommendations = pl.read_parquet(config.recommendations)
    turned = (
        pl.when(pl.col("user_id").str.starts_with("b")).then(-pl.col("score")).otherwise("score")
    )
    recommendations.with_columns(turned.alias("score")).write_parquet(config.recommendations)
    run(config)
    members = dict(table(config, "cohorts").rows())
    plan = table(config, "plan")
    for user, wanted in (("a0", REFERENCES[:2]), ("b0", REFERENCES[2:])):
        chosen = plan.filter(pl.col("user_id") == members[user])["item_id"]
        assert sorted(chosen) == wanted


def test_every_recommendation_has_exactly_one_decision(config: NightlyConfig) -> None:
    recommendations = pl.read_parquet(config.recommendations)
    odd = [("a0", "yeti", 9.0), ("cohort:7", "i12", 1.0), ("unknown", "i12", 1.0)]
    more = pl.DataFrame(odd, recommendations.columns, orient="row")
    pl.concat([recommendations, more]).write_parquet(config.recommendations)
    summary = run(config)
    explained = table(config, "explained")
    assert explained.schema == NIGHT_SCHEMAS["plan_pairs"]
    pairs = table(config, "recommendations").select("user_id", "item_id")
    assert sorted(explained.select("user_id", "item_id").rows()) == sorted(pairs.rows())
    reasons = dict(explained["reason"].value_counts().rows())
    assert reasons == {
        "planned": 6,
        "over_user_limit": 18,
        "short_history": 5,
        "unknown_item": 1,
        "reserved_user": 1,
    }
    assert summary.left_out == {"over_user_limit": 18, "over_budget": 0}
    drawable = explained.filter(pl.col("reason").is_in(["planned", "over_user_limit"]))
    assert drawable["expected_gain"].is_not_null().all()
    planned = explained.filter(pl.col("reason") == "planned").join(
        table(config, "plan"), on=["user_id", "item_id"]
    )
    worth = (planned["expected_views"] * planned["expected_gain"]).round(6)
    assert worth.to_list() == planned["priority"].to_list()


def test_without_cohorts_the_requests_of_users_are_the_same(
    config: NightlyConfig,
) -> None:
    summary = run(without_cohorts(config))
    assert (summary.cohorts, summary.cohort_requests, summary.planned) == (0, 0, 6)
    assert table(config, "cohorts").is_empty()
    alone = keys(config)
    run(config)
    assert alone.items() <= keys(config).items()


def test_the_order_of_the_inputs_does_not_matter(config: NightlyConfig) -> None:
    run(config)
    paths = NightPaths.of(config, NIGHT)
    files = (paths.plan, paths.cohorts, paths.explained, paths.skipped)
    before = [pl.read_parquet(file) for file in files]
    for path in (config.recommendations, config.interactions):
        pl.read_parquet(path).reverse().write_parquet(path)
    run(config)
    for file, frame in zip(files, before, strict=True):
        assert pl.read_parquet(file).equals(frame), file.name


def test_a_budget_in_minutes_bounds_the_plan(config: NightlyConfig) -> None:
    short = PLAN.model_copy(update={"max_minutes": 5.5 * DEFAULT_SECONDS / 60})
    summary = run(config.model_copy(update={"plan": short}))
    assert (summary.budget, summary.planned, summary.measured_nights) == (5, 5, 0)
    assert summary.cohort_requests == 2


def test_a_budget_of_zero_plans_nothing(config: NightlyConfig) -> None:
    nothing = PLAN.model_copy(update={"max_minutes": 1e-6})
    summary = run(config.model_copy(update={"plan": nothing}))
    assert (summary.budget, summary.planned, summary.generate) == (0, 0, 0)
    assert table(config, "plan").is_empty()
    assert summary.left_out == {"over_user_limit": 18, "over_budget": 6}


def test_new_interactions_of_one_user_change_no_other_key_and_no_cohorts(
    config: NightlyConfig,
) -> None:
    # The refit was on 31 May; the next one is on 7 June.
    run(config)
    before = keys(config)
    frame = pl.read_parquet(config.interactions)
    later = pl.lit(NIGHT + dt.timedelta(days=1)).cast(pl.Datetime("us", "UTC"))
    fresh = frame.filter(pl.col("user_id") == "b2").with_columns(
        item_id=pl.lit("i00"), timestamp=later
    )
    pl.concat([frame, fresh.head(1)]).write_parquet(config.interactions)
    tomorrow = NIGHT + dt.timedelta(days=1)
    run(config, tomorrow)
    after = keys(config, tomorrow)
    changed = {pair for pair in before if after.get(pair) != before[pair]}
    assert {user for user, _ in changed} <= {"b2"}


def test_a_past_date_is_planned_as_on_its_date(config: NightlyConfig) -> None:
    run(config)
    paths = NightPaths.of(config, NIGHT)
    files = (paths.plan, paths.cohorts, paths.explained, paths.skipped, paths.plan_info)
    before = [file.read_bytes() for file in files]
    frame = pl.read_parquet(config.interactions)
    next_day = pl.lit(NIGHT + dt.timedelta(days=1)).cast(pl.Datetime("us", "UTC"))
    turned = frame.filter(pl.col("user_id") == "b1").with_columns(
        user_id=pl.lit("a1"), timestamp=next_day
    )
    pl.concat([frame, turned]).write_parquet(config.interactions)
    run(config, NIGHT + dt.timedelta(days=8))
    run(config)
    assert [file.read_bytes() for file in files] == before


def new_picture(config: NightlyConfig, item: str) -> None:
    """Gives an item other bytes that look the same to the encoder."""
    folder = Path(config.catalogue).parent
    content = png(int(item[1:])) + b"\0"
    (folder / "images" / f"{item}.png").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    items = pl.read_parquet(config.catalogue)
    new = pl.when(pl.col("item_id") == item).then(pl.lit(sha256)).otherwise("image_sha256")
    items.with_columns(new.alias("image_sha256")).write_parquet(config.catalogue)


def test_another_picture_in_a_history_changes_the_keys_that_use_it_only(
    config: NightlyConfig,
) -> None:
    run(config)
    before, histories = (
        keys(config),
        table(config, "plan").select("user_id", "item_id", "history_ids"),
    )
    of_one_taste = histories["history_ids"][0][0]
    used = {(user, item) for user, item, history in histories.rows() if of_one_taste in history}
    assert 0 < len(used) < len(before)
    new_picture(config, of_one_taste)
    run(config)
    after = keys(config)
    assert {pair for pair in before if before[pair] != after[pair]} == used


def test_another_picture_of_a_reference_changes_its_keys_only(config: NightlyConfig) -> None:
    run(config)
    before = keys(config)
    new_picture(config, "i12")
    run(config)
    after = keys(config)
    changed = {pair for pair in before if before[pair] != after[pair]}
    assert changed == {pair for pair in before if pair[1] == "i12"}
    assert changed


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 3},
        {"threads": 1},
        {"report": ReportConfig(max_users=1)},
        {"plan": PLAN.model_copy(update={"shards": 5})},
        {"plan": PLAN.model_copy(update={"max_assets": 7})},
    ],
)
def test_other_settings_change_no_key(config: NightlyConfig, change: dict[str, Any]) -> None:
    run(config)
    before = keys(config)
    run(config.model_copy(update=change))
    after = keys(config)
    assert after.items() <= before.items()
    assert after


def test_an_item_that_nobody_uses_changes_no_key(config: NightlyConfig) -> None:
    run(config)
    before = keys(config)
    items = pl.read_parquet(config.catalogue)
    extra = items.head(1).with_columns(item_id=pl.lit("z99"), title=pl.lit("new"))
    pl.concat([items, extra]).write_parquet(config.catalogue)
    run(config)
    assert keys(config) == before


def test_settings_of_drawing_change_every_key(config: NightlyConfig) -> None:
    run(config)
    before = set(keys(config).values())
    run(config.model_copy(update={"generation": GenerationConfig(temperature=0.5)}))
    assert before.isdisjoint(keys(config).values())
    run(config, version="model-2")
    assert before.isdisjoint(keys(config).values())


def test_the_summary_is_what_it_was(config: NightlyConfig) -> None:
    assert dataclasses.asdict(run(config)) == dataclasses.asdict(run(config))
