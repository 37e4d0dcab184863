"""The mirror: what plain DuckDB and polars clients read there, and what is removed when."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, WarehouseConfig
from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.runtime.work_dir import serving_file, warehouse_file
from pigeon_rec.warehouse import (
    AssetReader,
    collect_garbage,
    drop_night,
    open_warehouse,
    retain,
    served_assets,
)
from pigeon_rec.warehouse._mirror_place import MirrorPlace
from pigeon_rec.warehouse.mirror import (
    Mirror,
    Mirrored,
    clean_mirrors,
    mirror_of,
    mirror_served,
    mirrored_pictures,
)
from tests.nightly.made_night import NIGHT, MadeNight, Pair

HOUR = dt.timedelta(hours=1)
START = dt.datetime(2026, 6, 2, 3, tzinfo=dt.UTC)
ITEMS = ("flat/apple", "line/boat", "line/cat")
USERS = [f"user-{number}" for number in range(12)]


def night_of(date: dt.date = NIGHT, *, users: list[str] | None = None) -> MadeNight:
    """Every user has an own picture, one cohort has two, and a user without one is a member."""
    pairs = [Pair(user, "flat/apple") for user in users or USERS]
    pairs += [Pair("cohort:0", item) for item in ("flat/apple", "line/boat")]
    return MadeNight(pairs, date, members={"user-0": "cohort:0", "quiet": "cohort:0"})


@pytest.fixture(params=["table", "file"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> NightlyConfig:
    images = "table" if request.param == "table" else (tmp_path / "pictures").as_uri()
    warehouse = WarehouseConfig(
        images=images,
        mirror="parquet",
        mirror_address=(tmp_path / "mirror").as_uri(),
        mirror_buckets=4,
    )
    return NightlyConfig(work_dir=tmp_path / "var", warehouse=warehouse)


def publish(config: NightlyConfig, night: MadeNight) -> None:
    night.write(config)
    publish_night(config, night.date)


def mirror(config: NightlyConfig, now: dt.datetime | None = None, **changes: Any) -> Mirrored:
    settings = config.warehouse.model_copy(update=changes)
    place = mirror_of(settings)
    assert place is not None
    return mirror_served(
        warehouse_file(config.work_dir), serving_file(config.work_dir), place, now=now
    )


def address(config: NightlyConfig) -> str:
    assert config.warehouse.mirror_address is not None
    return config.warehouse.mirror_address


def folder(config: NightlyConfig) -> Path:
    return Path(address(config).removeprefix("file://"))


def versions(config: NightlyConfig) -> list[str]:
    return sorted(
        str(path.relative_to(folder(config))) for path in folder(config).glob("date=*/version=*")
    )


def client(config: NightlyConfig) -> duckdb.DuckDBPyConnection:
    """A plain client, as docs/warehouse.md shows it."""
    connection = duckdb.connect()
    connection.execute(f"SET VARIABLE mirror = '{address(config)}'")
    connection.execute(
        "SET VARIABLE night = (SELECT getvariable('mirror') || '/' || path "
        "FROM read_json(getvariable('mirror') || '/current.json'))"
    )
    return connection


def rows_of(config: NightlyConfig) -> pl.DataFrame:
    """All served rows, by a polars client."""
    pointer = json.loads((folder(config) / "current.json").read_text("utf-8"))
    files = f"{address(config)}/{pointer['path']}/served_assets/*/*.parquet"
    return pl.scan_parquet(files, hive_partitioning=False).collect().sort("user_id", "item_id")


def test_promotion_mirrors_what_readers_of_the_snapshot_get(config: NightlyConfig) -> None:
    publish(config, night_of())
    promote_night(config)
    expected = served_assets(serving_file(config.work_dir)).sort("user_id", "item_id")
    assert expected.height == len(USERS) + 2
    assert rows_of(config).equals(expected)
    connection = client(config)
    counted = "SELECT count(*), count(DISTINCT bucket), min(date)::VARCHAR FROM read_parquet("
    counted += "getvariable('night') || '/served_assets/*/*.parquet', hive_partitioning = true)"
    assert connection.execute(counted).fetchall() == [(expected.height, 4, NIGHT.isoformat())]


def test_every_user_is_in_the_bucket_of_the_stated_rule(config: NightlyConfig) -> None:
    publish(config, night_of())
    promote_night(config)
    [version] = versions(config)
    for bucket in range(4):
        files = folder(config) / version / "served_assets" / f"bucket={bucket}"
        found = pl.read_parquet(f"{files}/*.parquet", hive_partitioning=False)["user_id"]
        names = [hashlib.md5(user.encode(), usedforsecurity=False).hexdigest() for user in found]
        assert {int(name[:8], 16) % 4 for name in names} <= {bucket}
        assert found.is_sorted()


def test_the_macro_answers_as_the_warehouse_does(config: NightlyConfig) -> None:
    publish(config, night_of())
    promote_night(config)
    connection = client(config)
    macros = Path(str(connection.execute("SELECT getvariable('night')").fetchall()[0][0]))
    text = Path(str(macros).replace("file:", "", 1)) / "macros.sql"
    connection.execute(text.read_text("utf-8"))
    origins = set()
    with AssetReader(serving_file(config.work_dir)) as reader:
        for user in ("user-0", "user-7", "quiet", "nobody"):
            for item in (*ITEMS, "noto/red-apple", "no/such"):
                [found] = connection.execute(
                    "SELECT origin, asset_key, image_sha256, score, cohort, image, image_uri "
                    "FROM asset_for($user, $item)",
                    {"user": user, "item": item},
                ).fetchall()
                shown = reader.get(user, item)
                origins.add(found[0])
                if shown is None:
                    assert found == ("unknown", None, None, None, None, None, None)
                    continue
                facts = (shown.origin, shown.asset_key, shown.image_sha256, shown.score)
                assert found[:4] == facts
                assert (found[5] is None) == (shown.image is None)
                assert found[6] == shown.image_uri
    assert origins == {"own", "cohort", "original", "unknown"}


def test_parts_of_a_bucket_are_bounded(
    config: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = "_PART_BYTES" if config.warehouse.images == "table" else "_PART_ROWS"
    monkeypatch.setattr(f"pigeon_rec.warehouse._mirror_tables.{limit}", 1)
    monkeypatch.setattr("pigeon_rec.warehouse._mirror_tables._FETCHED", 2)
    publish(config, night_of())
    promote_night(config)
    parts = sorted((folder(config) / versions(config)[0]).glob("served_assets/*/*.parquet"))
    assert len(parts) >= len(USERS) / 2
    assert rows_of(config).equals(
        served_assets(serving_file(config.work_dir)).sort("user_id", "item_id")
    )


def test_the_same_snapshot_is_mirrored_once(config: NightlyConfig) -> None:
    publish(config, night_of())
    promote_night(config)
    before = {path: path.stat().st_mtime_ns for path in folder(config).rglob("*")}
    assert not mirror(config).changed
    promote_night(config)
    assert {path: path.stat().st_mtime_ns for path in folder(config).rglob("*")} == before


@pytest.mark.parametrize("change", ["buckets", "lost file", "lost pointer"])
def test_it_is_mirrored_again_if_files_or_settings_differ(
    config: NightlyConfig, change: str
) -> None:
    publish(config, night_of())
    promote_night(config)
    before, expected = versions(config), rows_of(config)
    if change == "lost file":
        next(folder(config).rglob("*.parquet")).unlink()
    elif change == "lost pointer":
        (folder(config) / "current.json").unlink()
    assert mirror(config, mirror_buckets=2 if change == "buckets" else 4).changed
    assert len(set(versions(config)) - set(before)) == 1
    assert rows_of(config).equals(expected)


def test_a_replaced_night_stays_for_the_grace_period(config: NightlyConfig) -> None:
    publish(config, night_of())
    promote_night(config)
    [first] = versions(config)
    publish(config, night_of(NIGHT + dt.timedelta(days=1), users=["eve"]))
    promote_night(config)
    pointer = MirrorPlace(address(config)).pointer()
    assert pointer is not None
    [replaced] = pointer.replaced
    assert (replaced.path, pointer.night) == (first, "2026-06-02")
    assert len(versions(config)) == 2
    at = replaced.replaced_at
    assert mirror(config, at + 23 * HOUR).removed == 0
    assert len(versions(config)) == 2
    assert mirror(config, at + 25 * HOUR) == Mirrored("2026-06-02", pointer.path, False, 1)
    assert versions(config) == [pointer.path]
    assert rows_of(config)["user_id"].to_list() == ["cohort:0", "cohort:0", "eve"]
    assert not (folder(config) / "date=2026-06-01").exists()


def test_what_a_killed_call_left_is_removed(config: NightlyConfig) -> None:
    publish(config, night_of())
    promote_night(config)
    half = folder(config) / "date=2026-06-05" / "version=20260605T000000-00000000"
    (half / "served_assets").mkdir(parents=True)
    (half / "served_assets" / "part.parquet").write_bytes(b"half")
    assert mirror(config).removed == 1
    assert not half.parent.exists()


def test_gc_cleans_the_mirror_and_keeps_pictures_that_it_refers_to(
    config: NightlyConfig,
) -> None:
    outside = config.warehouse.images != "table"
    place, images = mirror_of(config.warehouse), config.warehouse.images
    warehouse, link = warehouse_file(config.work_dir), serving_file(config.work_dir)
    for date, users in ((NIGHT, USERS), (NIGHT + dt.timedelta(days=9), ["eve"])):
        publish(config, night_of(date, users=users))
        promote_night(config)
    with open_warehouse(warehouse) as connection:
        assert retain(connection, 3).dropped == ("2026-06-01",)
        assert len(list(mirrored_pictures(connection))) == (14 + 3 if outside else 0)
    promote_night(config)
    for snapshot in (link.parent / "snapshots").glob("*.duckdb"):
        if snapshot != link.resolve():
            snapshot.unlink()
    # Only the mirror refers to the first night now.
    kept = collect_garbage(warehouse, link, images=images, mirror=place)
    assert (kept.mirrored, kept.pictures) == (0, 0)
    with open_warehouse(warehouse) as connection:
        later = dt.datetime.now(dt.UTC) + 25 * HOUR
        assert clean_mirrors(connection, place, now=later) == 2
    freed = collect_garbage(warehouse, link, images=images, mirror=place)
    assert (freed.mirrored, freed.pictures) == (0, len(USERS) if outside else 0)
    assert len(rows_of(config)) == 3


def test_an_address_that_is_no_longer_used_keeps_its_night_as_long_as_the_warehouse(
    config: NightlyConfig,
) -> None:
    publish(config, night_of())
    promote_night(config)
    publish(config, night_of(NIGHT + dt.timedelta(days=1), users=["eve"]))
    with open_warehouse(warehouse_file(config.work_dir)) as connection:
        assert clean_mirrors(connection, None) == 0
        assert len(rows_of(config)) == 14
        drop_night(connection, NIGHT)
        # In use, it waits for the next promotion; otherwise nothing would ever replace it.
        assert clean_mirrors(connection, mirror_of(config.warehouse)) == 0
        assert clean_mirrors(connection, None) == 1
        assert clean_mirrors(connection, None) == 0
    assert not folder(config).exists()


def test_another_warehouse_is_refused(config: NightlyConfig, tmp_path: Path) -> None:
    publish(config, night_of())
    promote_night(config)
    before = rows_of(config)
    other = config.model_copy(update={"work_dir": tmp_path / "other"})
    if other.warehouse.images != "table":
        settings = other.warehouse.model_copy(update={"images": "table"})
        other = other.model_copy(update={"warehouse": settings})
    publish(other, night_of(users=["eve"]))
    with pytest.raises(WarehouseError, match="written by another warehouse"):
        promote_night(other)
    assert rows_of(config).equals(before)
    # Their own readers have the night all the same.
    assert served_assets(serving_file(other.work_dir)).height == 3


def test_a_folder_with_other_files_is_refused(config: NightlyConfig) -> None:
    folder(config).mkdir()
    (folder(config) / "notes.txt").write_text("mine", encoding="utf-8")
    publish(config, night_of())
    with pytest.raises(WarehouseError, match=r"other files, such as notes\.txt"):
        promote_night(config)
    assert [path.name for path in folder(config).iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": 2}', '{"path": "../../elsewhere"}', "[]"], ids=repr
)
def test_a_damaged_pointer_is_an_error_and_nothing_is_removed(
    config: NightlyConfig, text: str
) -> None:
    publish(config, night_of())
    promote_night(config)
    pointer = folder(config) / "current.json"
    whole = json.loads(pointer.read_text("utf-8"))
    changed = {**whole, **json.loads(text)} if text.startswith('{"') else text
    pointer.write_text(changed if isinstance(changed, str) else json.dumps(changed), "utf-8")
    before = versions(config)
    with pytest.raises(WarehouseError, match="pointer of the mirror is damaged"):
        mirror(config)
    assert versions(config) == before
    pointer.unlink()
    assert mirror(config).changed


def test_a_failed_upload_leaves_readers_their_night(
    config: NightlyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(config, night_of())
    promote_night(config)
    before = rows_of(config)
    publish(config, night_of(NIGHT + dt.timedelta(days=1), users=["eve"]))
    real, count = MirrorPlace.put, 0

    def fails(self: MirrorPlace, name: str, content: bytes) -> None:
        nonlocal count
        count += 1
        if count == 6:
            raise self._unreachable("written", ConnectionResetError("gone"))
        real(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(MirrorPlace, "put", fails)
        with pytest.raises(WarehouseError, match="cannot be written: gone") as caught:
            promote_night(config)
    assert caught.value.retryable
    assert rows_of(config).equals(before)
    promote_night(config)
    assert rows_of(config).height == 3
    assert len(versions(config)) == 2


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://mirror-of-a-test/sub"
    fsspec.filesystem("memory").rm("/mirror-of-a-test", recursive=True)


def test_a_store_without_folders(tmp_path: Path, memory: str) -> None:
    settings = WarehouseConfig(mirror="parquet", mirror_address=memory, mirror_buckets=2)
    config = NightlyConfig(work_dir=tmp_path / "var", warehouse=settings)
    for day, users in enumerate((USERS, ["eve"])):
        publish(config, night_of(NIGHT + dt.timedelta(days=day), users=users))
        promote_night(config)
    place = MirrorPlace(memory)
    pointer = place.pointer()
    assert pointer is not None
    assert pointer.night == "2026-06-02"
    assert place.holds(pointer.files())
    found = place.read(pointer.tables["served_assets"].files)
    assert sum(pl.read_parquet(content).height for content in found) == 3
    with open_warehouse(warehouse_file(config.work_dir)) as connection:
        later = dt.datetime.now(dt.UTC) + 25 * HOUR
        assert clean_mirrors(connection, mirror_of(settings), now=later) == 1
    assert place.holds(pointer.files())
    assert place.remove() == 1
    assert place.pointer() is None


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`mirror` needs `mirror_address`"):
        WarehouseConfig(mirror="parquet")
    with pytest.raises(ValueError, match="must differ from `images`"):
        WarehouseConfig(images=tmp_path.as_uri(), mirror_address=tmp_path.as_uri())
    with pytest.raises(ValueError, match="not a usable location"):
        WarehouseConfig(mirror="parquet", mirror_address="carrier://pigeon")
    with pytest.raises(ConfigError, match="no installed package"):
        MirrorPlace("carrier://pigeon")
    assert mirror_of(WarehouseConfig(mirror_address=tmp_path.as_uri())) is None
    half = WarehouseConfig(mirror="parquet", mirror_address="file:///m", mirror_grace_hours=0.5)
    assert mirror_of(half) == Mirror("file:///m", 16, HOUR / 2)
