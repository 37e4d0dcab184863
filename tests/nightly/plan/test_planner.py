"""The plan of a night: its requests, their histories, limits, shards and reuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, PlanConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import (
    PLAN_SCHEMA,
    planner,
)
from pigeon_rec.warehouse import NIGHT_SCHEMAS, NightRecords, open_warehouse, publish
from tests.nightly.plan.plans import (
    HISTORIES,
    ITEMS,
    REFERENCES,
    keys,
    planned,
    run,
)
from tests.small_world import NIGHT, PixelEncoder, png


def test_a_plan_has_the_best_pairs_within_both_limits(config: NightlyConfig) -> None:
    summary = run(config)
    plan = planned(config)
    assert plan.schema == PLAN_SCHEMA
    assert plan.height == summary.planned == summary.generate == 6
    assert plan["priority"].to_list() == sorted(plan["priority"], reverse=True)
    assert plan.group_by("user_id").len()["len"].max() == 2
    assert summary.left_out == {"over_user_limit": 8, "over_budget": 2}
    assert (summary.recommendations, summary.skipped, summary.reuse) == (16, 0, 0)
    assert set(plan["model_version"]) == {"model-1"}
    assert set(plan["settings_hash"]) == {summary.settings_hash}


def test_histories_are_the_users_own_and_never_the_reference(config: NightlyConfig) -> None:
    run(config)
    for row in planned(config).iter_rows(named=True):
        assert len(row["history_ids"]) == len(row["history_scores"]) == 5
        assert set(row["history_ids"]) <= set(HISTORIES[row["user_id"]])
        assert row["item_id"] not in row["history_ids"]


def test_priority_is_expected_views_times_expected_gain(config: NightlyConfig) -> None:
    one = config.model_copy(update={"plan": PlanConfig(max_assets=100, max_assets_per_user=9)})
    run(one)
    catalogue = load_catalogue(config.catalogue)
    vectors = dict(
        zip(ITEMS, PixelEncoder().encode_images(catalogue.images(ITEMS)[0]), strict=True)
    )
    weights = {item: 1 / (1.0, 1.584963, 2.0, 2.321928)[r] for r, item in enumerate(REFERENCES)}
    for row in planned(one).iter_rows(named=True):
        cosines = [float(vectors[row["item_id"]] @ vectors[item]) for item in row["history_ids"]]
        expected = weights[row["item_id"]] * (1 - sum(cosines) / len(cosines))
        assert row["priority"] == pytest.approx(expected, abs=2e-6)


def test_the_shard_follows_from_the_key(config: NightlyConfig) -> None:
    summary = run(config)
    plan = planned(config)
    assert plan["shard"].to_list() == [int(key[:8], 16) % 3 for key in plan["asset_key"]]
    assert sum(summary.shard_sizes) == 6
    assert list(summary.shard_sizes) == [(plan["shard"] == n).sum() for n in range(3)]
    pairs = keys(config)
    run(config.model_copy(update={"plan": PlanConfig(max_assets=6, shards=7)}))
    assert keys(config) == pairs


def test_planning_twice_gives_the_same_files(config: NightlyConfig) -> None:
    paths = NightPaths.of(config, NIGHT)
    files = (paths.plan, paths.skipped, paths.problems, paths.plan_info)
    run(config)
    before = [file.read_bytes() for file in files]
    run(config)  # now with every embedding cached
    assert [file.read_bytes() for file in files] == before


def test_plan_json_is_the_summary(config: NightlyConfig) -> None:
    summary = run(config)
    info = json.loads(NightPaths.of(config, NIGHT).plan_info.read_text(encoding="utf-8"))
    assert info["requests_sha256"] == summary.requests_sha256
    assert info["reasons"] == {}
    assert (info["planned"], info["seed"], info["encoder_id"]) == (6, 0, "pixels-1")


def test_known_pictures_are_reused_without_changing_the_pairs(
    config: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(config)
    before = planned(config)
    known = before["asset_key"].to_list()

    def knows(_: Path, keys: list[str]) -> pl.DataFrame:
        return pl.DataFrame({"asset_key": [key for key in keys if key in known]})

    monkeypatch.setattr(planner, "known_assets", knows)
    again = run(config)
    assert (again.generate, again.reuse) == (0, 6)
    # Fewer pictures to draw make fewer shards, not smaller ones.
    location = ["status", "shard"]
    assert planned(config).drop(location).equals(before.drop(location))
    assert again.requests_sha256 == first.requests_sha256
    del known[2:]
    half = run(config)
    assert (half.generate, half.reuse) == (4, 2)
    assert planned(config).drop(location).equals(before.drop(location))
    assert [size > 0 for size in half.shard_sizes][2:] == [False]


def test_pictures_and_rejections_in_the_warehouse_are_reused(config: NightlyConfig) -> None:
    run(config)
    # Users with the same history share a picture, so take two of different keys.
    made, refused, *_ = planned(config).unique("asset_key", maintain_order=True).to_dicts()
    content = png(99)
    sha256 = hashlib.sha256(content).hexdigest()
    facts = {"image": content, "image_sha256": sha256, "format": "png", "width": 64, "height": 64}
    asset = {**made, **facts, "mask_ratio": 0.0, "seed": 0}
    run_asset = {**made, "origin": "generated"}
    rejection = {**refused, "reason": "blank", "detail": None}
    score = {"asset_key": made["asset_key"], "metric": "selection_score", "value": 0.5}
    frames = {"assets": asset, "run_assets": run_asset, "rejections": rejection, "scores": score}
    night = NightRecords(
        logical_date=NIGHT,
        model_version="model-1",
        settings_hash="settings",
        seed=0,
        config={},
        planned=2,
        skipped=0,
        problems=pl.DataFrame(schema=NIGHT_SCHEMAS["problems"]),
        **{name: record(name, row) for name, row in frames.items()},
    )
    with open_warehouse(NightPaths.of(config, NIGHT).warehouse) as connection:
        publish(connection, night)
    summary = run(config, NIGHT)
    plan = planned(config)
    known = plan["asset_key"].is_in([made["asset_key"], refused["asset_key"]])
    assert (plan["status"] == "reuse").equals(known)
    assert (summary.generate, summary.reuse) == (6 - known.sum(), known.sum())


def record(name: str, row: dict[str, object]) -> pl.DataFrame:
    schema = {k: v for k, v in NIGHT_SCHEMAS[name].items() if k in row}
    return pl.DataFrame({k: [row[k]] for k in schema}, schema=schema)
