"""Publishing real night folders into real DuckDB files."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, PlanConfig
from pigeon_rec.errors import PlanError, WarehouseError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.warehouse import ask, content_digest, open_reader, query, served_assets
from tests.nightly.made_night import NIGHT, MadeNight, Pair, drawn_row, small_night


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    return NightlyConfig(work_dir=tmp_path, seed=7)


def _digest(config: NightlyConfig) -> str:
    with open_reader(NightPaths.of(config, NIGHT).warehouse) as connection:
        return content_digest(connection)


def _rows(config: NightlyConfig, sql: str) -> list[tuple[object, ...]]:
    return ask(NightPaths.of(config, NIGHT).warehouse, sql).rows()


def test_the_night_is_in_the_tables(config: NightlyConfig) -> None:
    night = small_night()
    paths = night.write(config)
    summary = publish_night(config, NIGHT)
    assert dataclasses.asdict(summary) | {"content_sha256": ""} == {
        "run_id": "2026-06-01",
        "changed": True,
        "planned": 6,
        "generated": 5,
        "reused": 0,
        "served": 5,
        "rejected": 1,
        "skipped": 1,
        "reasons": {"off_target": 1},
        "content_sha256": "",
    }
    served = served_assets(paths.warehouse)
    wanted = sorted((p.user_id, p.item_id) for p in night.pairs if p.reason is None)
    assert sorted(served.select("user_id", "item_id").rows()) == wanted
    for row in served.iter_rows(named=True):
        assert hashlib.sha256(row["image"]).hexdigest() == row["image_sha256"]
    of_bob = night.pairs[3]
    assert query(paths.warehouse, "run_rejections", {"run_id": "2026-06-01"}).rows() == [
        ("bob", "line/boat", of_bob.key, "off_target", "off_target by 0.10")
    ]
    assert query(paths.warehouse, "run_problems", {"run_id": "2026-06-01"}).rows() == [
        ("image_corrupt", "line/drum", "items.parquet row 7", "does not decode"),
        ("short_history", "dan", "bundled", "user 'dan' has too little history"),
    ]


def test_every_score_is_kept_also_of_the_rejected(config: NightlyConfig) -> None:
    night = small_night()
    paths = night.write(config)
    publish_night(config, NIGHT)
    stored = query(paths.warehouse, "run_scores", {"run_id": "2026-06-01"})
    expected = {
        (pair.key, metric, value)
        for pair in night.pairs
        for metric, value in drawn_row(pair).items()
        if metric.endswith("_score")
    }
    assert set(stored.select("asset_key", "metric", "value").rows()) == expected


def test_publishing_again_writes_nothing(config: NightlyConfig) -> None:
    small_night().write(config)
    first = publish_night(config, NIGHT)
    published_at = _rows(config, "SELECT published_at FROM runs")
    again = publish_night(config, NIGHT)
    assert again == dataclasses.replace(first, changed=False)
    assert _rows(config, "SELECT published_at FROM runs") == published_at


def test_a_night_that_reuses_all_of_itself_is_the_same_night(config: NightlyConfig) -> None:
    night = small_night()
    night.write(config)
    first = publish_night(config, NIGHT)
    before = _digest(config)
    for pair in night.pairs:
        pair.status = "reuse"
    paths = night.write(config)
    for shard in paths.shards.iterdir():
        shard.unlink()
    again = publish_night(config, NIGHT)
    assert again == dataclasses.replace(first, changed=False)
    assert _digest(config) == before


def test_the_next_night_reuses_and_keeps_earlier_verdicts(config: NightlyConfig) -> None:
    night = small_night()
    night.write(config)
    publish_night(config, NIGHT)
    for pair in night.pairs:
        pair.status = "reuse"
    night.pairs.append(Pair("eve", "flat/cat"))
    night.date = NIGHT + dt.timedelta(days=1)
    night.write(config)
    summary = publish_night(config, night.date)
    assert (summary.generated, summary.reused, summary.rejected) == (1, 5, 1)
    assert _rows(config, "SELECT count(*), count(DISTINCT asset_key) FROM assets") == [(6, 6)]
    rejections = "SELECT run_id, reason, detail FROM rejections ORDER BY run_id"
    assert _rows(config, rejections) == [
        ("2026-06-01", "off_target", "off_target by 0.10"),
        ("2026-06-02", "off_target", "off_target by 0.10"),
    ]


def test_where_and_how_fast_a_night_ran_is_no_part_of_it(tmp_path: Path) -> None:
    contents = []
    for name, shards in (("here", 1), ("there", 7)):
        plan = PlanConfig(shards=shards)
        config = NightlyConfig(
            work_dir=tmp_path / name, threads=shards, batch_size=shards, plan=plan
        )
        small_night().write(config)
        contents.append(publish_night(config, NIGHT).content_sha256)
    assert contents[0] == contents[1]


def test_a_missing_shard_is_named_and_nothing_is_written(config: NightlyConfig) -> None:
    night = small_night()
    paths = night.write(config)
    lost = night.pairs[0].shard
    paths.shard(lost).unlink()
    pairs = sum(pair.shard == lost for pair in night.pairs)
    with pytest.raises(PlanError) as caught:
        publish_night(config, NIGHT)
    said = f"shard-{lost:04d}.parquet ({pairs} requests, no such file)"
    assert said in str(caught.value)
    assert "nightly generate" in str(caught.value)
    assert not paths.warehouse.exists()


def test_an_incomplete_shard_is_named(config: NightlyConfig) -> None:
    night = small_night()
    paths = night.write(config)
    pair = night.pairs[0]
    shard = pl.read_parquet(paths.shard(pair.shard))
    shard.filter(pl.col("asset_key") != pair.key).write_parquet(paths.shard(pair.shard))
    with pytest.raises(PlanError, match=rf"shard-{pair.shard:04d}.parquet \(1 requests\)"):
        publish_night(config, NIGHT)


def test_rows_of_an_older_plan_are_left_out(config: NightlyConfig) -> None:
    night = small_night()
    night.write(config)
    night.pairs.pop()
    night._plan().write_parquet(NightPaths.of(config, NIGHT).plan)
    assert publish_night(config, NIGHT).served == 4


def test_a_night_without_a_plan_is_an_error(config: NightlyConfig) -> None:
    with pytest.raises(
        PlanError, match=r"file of the night is missing .*plan.parquet.*Run `pigeon"
    ):
        publish_night(config, NIGHT)


def test_a_shard_without_a_column_is_an_error(config: NightlyConfig) -> None:
    night = small_night()
    paths = night.write(config)
    path = paths.shard(night.pairs[0].shard)
    pl.read_parquet(path).drop("mask_ratio", "seed").write_parquet(path)
    with pytest.raises(PlanError, match="lacks the columns mask_ratio, seed"):
        publish_night(config, NIGHT)


def test_reusing_an_unknown_picture_is_an_error(config: NightlyConfig) -> None:
    night = small_night()
    night.pairs[0].status = "reuse"
    night.write(config)
    with pytest.raises(PlanError, match=r"1 requests reuse a picture .*ada / flat/apple"):
        publish_night(config, NIGHT)


def test_a_damaged_picture_is_refused_and_the_rest_is_served(config: NightlyConfig) -> None:
    night = small_night()
    night.pairs[0].image = b"not a picture"
    paths = night.write(config)
    summary = publish_night(config, NIGHT)
    assert (summary.served, summary.reasons) == (4, {"off_target": 1, "undecodable": 1})
    rejections = query(paths.warehouse, "run_rejections", {"run_id": "2026-06-01"})
    detail = rejections.filter(pl.col("reason") == "undecodable")["detail"].to_list()
    assert detail == ["the bytes do not have the recorded SHA-256"]


def test_two_users_can_share_one_picture(config: NightlyConfig) -> None:
    night = small_night()
    paths = night.write(config)
    plan = night._plan()
    twin = plan.head(1).with_columns(user_id=pl.lit("zoe"))
    pl.concat([plan, twin]).write_parquet(paths.plan)
    summary = publish_night(config, NIGHT)
    assert (summary.planned, summary.served) == (7, 6)
    assert _rows(config, "SELECT count(*) FROM assets") == [(5,)]
    seen = served_assets(paths.warehouse).filter(pl.col("user_id").is_in(["ada", "zoe"]))
    assert seen.filter(pl.col("item_id") == "flat/apple")["asset_key"].n_unique() == 1


def test_an_empty_night_is_published_and_leaves_the_served_pictures(config: NightlyConfig) -> None:
    paths = small_night().write(config)
    publish_night(config, NIGHT)
    empty = MadeNight([], date=NIGHT + dt.timedelta(days=1))
    empty.write(config)
    summary = publish_night(config, empty.date)
    assert (summary.planned, summary.served, summary.rejected) == (0, 0, 0)
    assert served_assets(paths.warehouse).height == 5


def test_promotion_shows_the_night_to_readers(config: NightlyConfig) -> None:
    paths = small_night().write(config)
    with pytest.raises(WarehouseError, match="no warehouse to promote"):
        promote_night(config)
    publish_night(config, NIGHT)
    snapshot = promote_night(config)
    assert snapshot == paths.serving.resolve()
    assert served_assets(paths.serving).height == 5
    assert promote_night(config) == snapshot
