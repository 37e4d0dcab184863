"""A night is published shard by shard; how many shards it has makes no difference."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.config import NightlyConfig, WarehouseConfig
from pigeon_rec.errors import PigeonError, PlanError, WarehouseError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import PublishSummary, promote_night, publish_night
from pigeon_rec.warehouse import (
    _images,
    ask,
    content_digest,
    marking,
    open_reader,
    snapshots,
    staging,
)
from pigeon_rec.warehouse.marks import mark_picture
from tests.nightly import made_night
from tests.nightly.made_night import NIGHT, MadeNight, Pair

REASONS = [None, None, "off_target", None, "drawing_failed"]


def large_night(date: dt.date = NIGHT) -> MadeNight:
    pairs = [
        Pair(f"user-{number}", item, reason=REASONS[number % len(REASONS)])
        for number in range(12)
        for item in ("flat/apple", "line/boat")
    ]
    problems = [("image_corrupt", f"line/{number}", "items.parquet", "x") for number in range(3)]
    members = {f"user-{number}": f"cohort:{number % 2}" for number in range(30)}
    return MadeNight(pairs, date=date, problems=problems, members=members)


def published(
    folder: Path, monkeypatch: pytest.MonkeyPatch, shards: int
) -> tuple[PublishSummary, PublishSummary, str]:
    """Two nights, the second of which reuses a half of the first; and the digest of all tables."""
    monkeypatch.setattr(made_night, "SHARDS", shards)
    config = NightlyConfig(work_dir=folder)
    paths = large_night().write(config)
    assert len(list(paths.shards.glob("*.parquet"))) == shards
    first = publish_night(config, NIGHT)
    later = large_night(NIGHT + dt.timedelta(days=1))
    later.pairs = [pair for pair in later.pairs if pair.reason != "drawing_failed"]
    for pair in later.pairs[::2]:
        pair.status = "reuse"
    later.write(config)
    second = publish_night(config, later.date)
    with open_reader(paths.warehouse) as connection:
        return first, second, content_digest(connection)


def test_the_number_of_shards_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, *others = [published(tmp_path / str(n), monkeypatch, n) for n in (1, 3, 7)]
    assert others == [one, one]
    first, second, _ = one
    assert (first.generated, first.rejected, first.planned) == (16, 8, 24)
    assert second.reused > 0
    assert second.generated > 0


def test_the_size_of_parts_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = published(tmp_path / "whole", monkeypatch, 3)
    monkeypatch.setattr(_images, "_SLICE_ROWS", 2)
    assert published(tmp_path / "slices", monkeypatch, 3) == whole
    monkeypatch.setattr(_images, "_SLICE_BYTES", 1)
    assert published(tmp_path / "single", monkeypatch, 3) == whole


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NightlyConfig:
    """A work directory with a published night, and the files of another one in three shards."""
    monkeypatch.setattr(made_night, "SHARDS", 3)
    images = f"file://{tmp_path}/pictures"
    config = NightlyConfig(work_dir=tmp_path / "var", warehouse=WarehouseConfig(images=images))
    large_night().write(config)
    publish_night(config, NIGHT)
    large_night(NIGHT + dt.timedelta(days=1)).write(config)
    return config


def second_shard(paths: NightPaths) -> Path:
    return sorted(paths.shards.glob("*.parquet"))[1]


def damage(paths: NightPaths) -> None:
    file = second_shard(paths)
    content = bytearray(file.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    file.write_bytes(content)


def lose_a_picture(paths: NightPaths) -> None:
    file = second_shard(paths)
    pl.read_parquet(file).slice(1).write_parquet(file)


def reuse_an_unknown_picture(paths: NightPaths) -> None:
    plan = pl.read_parquet(paths.plan)
    number = int(second_shard(paths).stem[-4:])
    unknown = plan.filter(pl.col("shard") == number).head(1)
    unknown = unknown.with_columns(status=pl.lit("reuse"), asset_key=pl.lit("unknown"))
    pl.concat([plan, unknown]).write_parquet(paths.plan)


def repeat_a_pair(paths: NightPaths) -> None:
    """Plans a pair of the first shard again in the second, under another key."""
    plan, file = pl.read_parquet(paths.plan), second_shard(paths)
    number, other = int(file.stem[-4:]), int(sorted(paths.shards.glob("*.parquet"))[0].stem[-4:])
    drawn = pl.read_parquet(file).filter(pl.col("rejected_reason").is_null()).head(1)
    key = drawn["asset_key"].item() + "-again"
    again = plan.filter(asset_key=drawn["asset_key"].item())
    elsewhere = again.with_columns(asset_key=pl.lit(key), shard=pl.lit(other, pl.Int32))
    pl.concat([plan, elsewhere]).write_parquet(paths.plan)
    assert number != other
    target = paths.shard(other)
    pl.concat([pl.read_parquet(target), drawn.with_columns(asset_key=pl.lit(key))]).write_parquet(
        target
    )


def repeat_a_key(paths: NightPaths) -> None:
    """Plans a key of the second shard in the first one too, for another user."""
    repeat_a_pair(paths)
    plan = pl.read_parquet(paths.plan)
    again = pl.col("asset_key").str.ends_with("-again")
    plan = plan.with_columns(
        user_id=pl.when(again).then(pl.lit("zoe")).otherwise("user_id"),
        asset_key=pl.col("asset_key").str.strip_suffix("-again"),
    )
    plan.write_parquet(paths.plan)
    for file in paths.shards.glob("*.parquet"):
        shard = pl.read_parquet(file)
        shard.with_columns(pl.col("asset_key").str.strip_suffix("-again")).write_parquet(file)


FAULTS: dict[str, tuple[Callable[[NightPaths], None], type[PigeonError], str]] = {
    "damaged file": (damage, PigeonError, ""),
    "picture not drawn": (lose_a_picture, PlanError, r"1 planned pictures .*shard-\d+.parquet"),
    "unknown picture": (reuse_an_unknown_picture, PlanError, "1 requests reuse a picture"),
    "pair in two shards": (repeat_a_pair, WarehouseError, "occur more than once.*run_assets"),
    "key in two shards": (repeat_a_key, WarehouseError, "occur more than once.*assets.asset_key"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_second_shard_changes_nothing(config: NightlyConfig, name: str) -> None:
    date = NIGHT + dt.timedelta(days=1)
    paths = NightPaths.of(config, date)
    with open_reader(paths.warehouse) as connection:
        before = content_digest(connection)
    spoil, kind, message = FAULTS[name]
    spoil(paths)
    with pytest.raises(kind, match=f"(?s){message}"):
        publish_night(config, date)
    with open_reader(paths.warehouse) as connection:
        assert content_digest(connection) == before
    assert not paths.staged.exists()
    assert list(paths.night.glob("*.new")) == []


def test_a_fault_in_the_second_part_of_the_pictures_changes_nothing(
    config: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    date = NIGHT + dt.timedelta(days=1)
    later = large_night(date)
    later.pairs = [dataclasses.replace(p, user_id=f"new-{p.user_id}") for p in later.pairs]
    paths = later.write(config)
    with open_reader(paths.warehouse) as connection:
        before = content_digest(connection)
    calls = 0
    real = mark_picture

    def fails(*arguments: object) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise WarehouseError("the signature failed")
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(_images, "_SLICE_ROWS", 2)
        patched.setattr(marking, "mark_picture", fails)
        with pytest.raises(WarehouseError, match="signature failed"):
            publish_night(config, date)
    assert calls == 9
    with open_reader(paths.warehouse) as connection:
        assert content_digest(connection) == before
    assert list(paths.night.glob("*.new")) == []
    assert len(list((config.work_dir.parent / "pictures" / "owners").iterdir())) == 1
    assert publish_night(config, date).generated == 16
    counts = "SELECT count(*), count(DISTINCT image_uri) FROM assets"
    assert ask(paths.warehouse, counts).rows() == [(32, 32)]


def test_folders_may_have_names_with_patterns(tmp_path: Path) -> None:
    config = NightlyConfig(work_dir=tmp_path / "a[b]*" / "var")
    large_night().write(config)
    assert publish_night(config, NIGHT).served == 16
    assert not publish_night(config, NIGHT).changed


@pytest.mark.parametrize("step", ["publish", "promote"])
def test_steps_limit_the_memory_of_duckdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    config = NightlyConfig(work_dir=tmp_path, warehouse=WarehouseConfig(memory_gb=0.25))
    large_night().write(config)
    publish_night(config, NIGHT)
    limits: list[str] = []

    def seen(connection: DuckDBPyConnection, *arguments: object) -> object:
        [(limit,)] = connection.execute("SELECT current_setting('memory_limit')").fetchall()
        limits.append(limit)
        return real(connection, *arguments)

    module, name = (staging, "check_across") if step == "publish" else (snapshots, "content_digest")
    real = getattr(module, name)
    monkeypatch.setattr(module, name, seen)
    if step == "publish":
        publish_night(config, NIGHT)
    else:
        promote_night(config)
    # The warehouse, and the copy that is compared with it.
    assert limits == ["238.4 MiB"] * (1 if step == "publish" else 2)
