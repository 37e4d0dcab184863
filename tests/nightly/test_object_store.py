"""A night through a bucket: exchange and pictures against an emulated S3, over real HTTP.

Its packages pin another python-dateutil than the product's list does, so they lie in a folder of
their own: `make test-store` runs this file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import fsspec
import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, WarehouseConfig
from pigeon_rec.nightly.files import shards_to_draw
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.nightly.steps import run_step
from pigeon_rec.runtime.exchange import ExchangeError, fetch, send
from pigeon_rec.runtime.files import write_json
from pigeon_rec.runtime.work_dir import serving_file, warehouse_file
from pigeon_rec.warehouse import AssetReader, PictureStore, check_warehouse
from pigeon_rec.warehouse._mirror_place import MirrorPlace
from pigeon_rec.warehouse.erasure import erase_users
from pigeon_rec.warehouse.marks import unmark_picture
from pigeon_rec.warehouse.mirror import mirror_of
from tests.nightly.made_night import NIGHT, MadeNight, Pair, write_catalogue

pytest.importorskip("s3fs", reason="its packages are not installed: run `make test-store`")
server = pytest.importorskip("moto.server", reason="run `make test-store`")

BUCKET = "s3://nights"
PAIRS = [Pair(user, item) for user in ("ada", "bob") for item in ("line/apple", "line/boat")]
SHARDS = sorted({pair.shard for pair in PAIRS})


def reconnect() -> None:
    """Drops all connections and cached listings, like another machine."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of a server of this test's own, found as `s3fs` finds a real one."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", host)
    reconnect()
    fsspec.filesystem("s3").mkdir(BUCKET)
    yield BUCKET
    reconnect()
    fsspec.filesystem("s3").rm(BUCKET, recursive=True)  # all servers of a process share their state
    reconnect()
    running.stop()


def machine(folder: Path, name: str, exchange: str) -> tuple[NightlyConfig, NightPaths]:
    """A machine with a catalogue and a work directory of its own."""
    home = folder / name
    home.mkdir()
    reconnect()
    config = NightlyConfig(
        catalogue=str(write_catalogue(home)), work_dir=home / "var", exchange=exchange
    )
    return config, NightPaths.of(config, NIGHT)


def test_two_machines_that_share_only_a_bucket_draw_a_night(tmp_path: Path, bucket: str) -> None:
    home, at_home = machine(tmp_path, "home", bucket)
    MadeNight(PAIRS).write(home)
    drawn = {number: at_home.shard(number).read_bytes() for number in SHARDS}
    assert len(drawn) == 2
    send(home.exchange, at_home.night, [at_home.plan])
    for number, content in drawn.items():
        at_home.shard(number).unlink()
        worker, there = machine(tmp_path, f"worker-{number}", bucket)
        fetch(worker.exchange, there.night, [there.plan])
        assert there.plan.read_bytes() == at_home.plan.read_bytes()
        assert shards_to_draw(worker, NIGHT) == SHARDS
        there.shards.mkdir(parents=True)
        there.shard(number).write_bytes(content)
        write_json({"assets": 2, "seconds": 1.0}, there.drawing_time(number))
        send(worker.exchange, there.night, there.shard_files(number))
        # A machine that was thought lost sends the same again.
        send(worker.exchange, there.night, there.shard_files(number))
    reconnect()
    published = run_step("publish", home, NIGHT)
    assert (published["served"], published["planned"]) == (4, 4)
    assert {n: at_home.shard(n).read_bytes() for n in SHARDS} == drawn
    held = fsspec.filesystem("s3").find(bucket)
    assert len(held) == 1 + 2 * len(SHARDS)
    assert all(key.startswith(f"nights/{at_home.run_id}/") for key in held)


def test_files_that_were_not_sent_are_left_out(tmp_path: Path, bucket: str) -> None:
    config, paths = machine(tmp_path, "home", bucket)
    fetch(config.exchange, paths.night, [paths.plan])
    assert not paths.plan.exists()


def test_a_missing_bucket_is_an_error_and_is_not_created(tmp_path: Path, bucket: str) -> None:
    config, paths = machine(tmp_path, "home", "s3://mistyped/nights")
    MadeNight(PAIRS).write(config)
    with pytest.raises(ExchangeError, match=r"cannot be written.*s3://mistyped"):
        send(config.exchange, paths.night, [paths.plan])
    reconnect()
    assert fsspec.filesystem("s3").ls("") == ["nights"]


def test_pictures_of_a_night_lie_in_a_bucket(tmp_path: Path, bucket: str) -> None:
    made, _ = machine(tmp_path, "home", "disk")
    config = made.model_copy(update={"warehouse": WarehouseConfig(images=f"{bucket}/pictures")})
    MadeNight(PAIRS).write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    reconnect()
    assert check_warehouse(warehouse_file(config.work_dir)).rows() == []
    store = PictureStore(f"{bucket}/pictures")
    with AssetReader(serving_file(config.work_dir)) as reader:
        shown = reader.get_many([(pair.user_id, pair.item_id) for pair in PAIRS], fetch=True)
    assert shown["origin"].to_list() == ["own"] * len(PAIRS)
    assert sorted(shown["image_uri"]) == sorted(store.holdings())
    shard = pl.concat(
        pl.read_parquet(NightPaths.of(config, NIGHT).shard(number)) for number in SHARDS
    )
    assert {unmark_picture(image, "png") for image in shown["image"]} == set(shard["image"])
    store.remove(list(store.holdings()))
    assert store.holdings() == {}


def test_a_mirror_in_a_bucket_is_whole_and_cleaned(tmp_path: Path, bucket: str) -> None:
    settings = WarehouseConfig(mirror="parquet", mirror_address=f"{bucket}/mirror")
    config = NightlyConfig(work_dir=tmp_path / "var", warehouse=settings)
    place = MirrorPlace(f"{bucket}/mirror")
    for days, pairs in enumerate((PAIRS, [Pair("eve", "line/cat")])):
        MadeNight(pairs, NIGHT + dt.timedelta(days=days)).write(config)
        publish_night(config, NIGHT + dt.timedelta(days=days))
        promote_night(config)
        reconnect()
        pointer = place.pointer()
        assert pointer is not None
        assert place.holds(pointer.files())
        found = place.read(pointer.tables["served_assets"].files)
        users = pl.concat(map(pl.read_parquet, found))["user_id"].sort().to_list()
        assert users == sorted(pair.user_id for pair in pairs)
        # As polars finds them on another machine, by their pattern.
        pattern = f"{bucket}/mirror/{pointer.path}/served_assets/*/*.parquet"
        assert len(fsspec.filesystem("s3").glob(pattern)) == settings.mirror_buckets
    assert pointer is not None
    assert len(pointer.replaced) == 1
    erased = erase_users(config.work_dir, ["ada"], mirror=mirror_of(settings))
    assert erased.mirrored == 2
    reconnect()
    pointer = place.pointer()
    assert pointer is not None
    left = fsspec.filesystem("s3").find(f"{bucket}/mirror/date={pointer.night}")
    others = fsspec.filesystem("s3").find(f"{bucket}/mirror")
    assert len(others) == len(left) + 2  # the pointer and the owner
    assert all(pointer.path in name for name in left)
