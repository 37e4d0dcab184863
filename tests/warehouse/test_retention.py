from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.warehouse import (
    AssetReader,
    PictureStore,
    check_serving,
    check_warehouse,
    collect_garbage,
    drop_night,
    open_warehouse,
    promote,
    publish,
    retain,
    retention,
    served_assets,
)
from pigeon_rec.warehouse.sql_files import sql_text
from tests.warehouse.nights import FIRST, SECOND, Pair, contents, key_of, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")


def day(number: int) -> dt.date:
    return dt.date(2026, 6, number)


def run_ids(connection: DuckDBPyConnection) -> list[str]:
    rows = connection.execute("SELECT run_id FROM runs ORDER BY run_id").fetchall()
    return [run_id for (run_id,) in rows]


def test_old_nights_go_and_shared_pictures_stay(
    warehouse: DuckDBPyConnection, writer_path: Path
) -> None:
    publish(warehouse, night_of([ANN, BEN], date=day(1), rejected=[CAT], problems=2))
    publish(warehouse, night_of([CAT], date=day(4), version="v2"))
    publish(warehouse, night_of([], date=day(5), reused=[ANN]))
    kept = retain(warehouse, 1)
    assert (kept.dropped, kept.pictures) == (("2026-06-01",), 1)
    assert run_ids(warehouse) == ["2026-06-04", "2026-06-05"]
    keys = {key for (key,) in warehouse.execute("SELECT asset_key FROM assets").fetchall()}
    assert keys == {key_of(ANN), key_of(CAT, "v2")}
    found = contents(warehouse)
    assert (found["rejections"], found["problems"]) == ([], [])
    warehouse.close()
    assert check_warehouse(writer_path).rows() == []


def test_nothing_old_is_nothing_to_do(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN], date=day(1)))
    publish(warehouse, night_of([BEN], date=day(8)))
    before = contents(warehouse)
    for keep in (7, 3650):
        assert retain(warehouse, keep).dropped == ()
    assert contents(warehouse) == before
    assert retain(warehouse, 6).dropped == ("2026-06-01",)


def test_the_served_night_stays_however_old(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN], date=day(1)))
    for number in (2, 20):
        publish(warehouse, night_of([], date=day(number)))
    assert retain(warehouse, 0).dropped == ("2026-06-02",)
    served = warehouse.execute("SELECT user_id, run_id FROM served_assets").fetchall()
    assert served == [("ann", "2026-06-01")]


def test_days_are_counted_from_the_newest_night_that_is_not_in_the_future(
    warehouse: DuckDBPyConnection,
) -> None:
    for number in (1, 8):
        publish(warehouse, night_of([ANN], date=day(number), version=f"v{number}"))
    publish(warehouse, night_of([], date=day(9)))
    for year in (2226, 9999):
        publish(warehouse, night_of([BEN], date=dt.date(year, 6, 9), version=f"v{year}"))
    assert retain(warehouse, 8).dropped == ()
    # 2026-06-08 is what readers get once the nights of the future are dropped.
    assert retain(warehouse, 0).dropped == ("2026-06-01",)
    assert run_ids(warehouse) == ["2026-06-08", "2026-06-09", "2226-06-09", "9999-06-09"]


def test_nights_of_the_future_alone_are_kept(warehouse: DuckDBPyConnection) -> None:
    for year in (2226, 2227):
        publish(warehouse, night_of([BEN], date=dt.date(year, 6, 9), version=f"v{year}"))
    assert retain(warehouse, 0).dropped == ()


def test_a_dropped_night_gives_its_place_to_the_one_before(
    warehouse: DuckDBPyConnection, writer_path: Path, serving: Path
) -> None:
    publish(warehouse, night_of([ANN, BEN], date=day(1)))
    before = contents(warehouse)
    mistyped = dt.date(2226, 6, 2)
    publish(warehouse, night_of([CAT], date=mistyped, reused=[ANN], rejected=[BEN], problems=2))
    removed = drop_night(warehouse, mistyped)
    assert (removed.dropped, removed.pictures) == (("2226-06-02",), 1)
    assert contents(warehouse) == before
    warehouse.close()
    promote(writer_path, serving)
    assert check_warehouse(writer_path).rows() == check_serving(serving).rows() == []
    assert served_assets(serving)["user_id"].to_list() == ["ann", "ben"]


def test_dropping_a_night_that_is_not_there_changes_nothing(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN], date=day(1)))
    before = contents(warehouse)
    with pytest.raises(WarehouseError, match="no night of 2026-06-02"):
        drop_night(warehouse, day(2))
    assert contents(warehouse) == before


def test_a_night_is_dropped_whole_or_not_at_all(
    warehouse: DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(warehouse, night_of([ANN], date=day(1)))
    before = contents(warehouse)

    def fails(name: str) -> str:
        return "SELECT no_such_function();" if name == "publish/settle" else sql_text(name)

    monkeypatch.setattr(retention, "sql_text", fails)
    with pytest.raises(WarehouseError, match="no_such_function"):
        drop_night(warehouse, day(1))
    assert contents(warehouse) == before


def test_an_empty_warehouse_keeps_nothing(warehouse: DuckDBPyConnection) -> None:
    assert retain(warehouse, 0).dropped == ()


def test_days_cannot_be_negative(warehouse: DuckDBPyConnection) -> None:
    with pytest.raises(ConfigError, match="received -1"):
        retain(warehouse, -1)


def test_files_stay_as_long_as_a_snapshot_refers_to_them(
    writer_path: Path, serving: Path, tmp_path: Path
) -> None:
    images = f"file://{tmp_path}/pictures"
    store = PictureStore(images)

    def night(number: int, pair: Pair) -> None:
        with open_warehouse(writer_path) as connection:
            publish(connection, night_of([pair], date=day(number)), images=images)
            retain(connection, 0)
        promote(writer_path, serving, keep=2)

    night(1, ANN)
    night(2, BEN)
    assert collect_garbage(writer_path, serving, images=images).pictures == 0
    assert len(store.holdings()) == 2
    night(3, CAT)
    expected = sum(sorted(store.holdings().values()))
    collected = collect_garbage(writer_path, serving, images=images)
    assert collected.pictures == 1
    assert collected.picture_bytes == expected - sum(store.holdings().values())
    assert check_warehouse(writer_path).rows() == check_serving(serving).rows() == []
    with AssetReader(serving) as reader:
        asset = reader.get(*CAT)
        assert asset is not None
        assert asset.read()


def test_what_a_killed_publication_wrote_is_collected(
    writer_path: Path, serving: Path, tmp_path: Path
) -> None:
    images = f"file://{tmp_path}/pictures"
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([ANN]), images=images)
    # Pictures of a night whose rows were never committed, one of them half written.
    [orphan] = PictureStore(images).put(night_of([BEN]).assets)
    file = Path(orphan.removeprefix("file://"))
    half = file.with_name(f".{file.name}.99.tmp")
    half.write_bytes(b"half")
    assert collect_garbage(writer_path, serving, images=images).pictures == 2
    assert check_warehouse(writer_path).rows() == []
    assert not file.exists()


def test_stores_of_earlier_settings_are_collected(
    writer_path: Path, serving: Path, tmp_path: Path
) -> None:
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([ANN]), images=f"file://{tmp_path}/old")
        publish(connection, night_of([BEN], date=SECOND))
        retain(connection, 0)
    assert collect_garbage(writer_path, serving).pictures == 1
    assert PictureStore(f"file://{tmp_path}/old").holdings() == {}


def test_an_unreadable_snapshot_stops_the_collection(
    writer_path: Path, serving: Path, tmp_path: Path
) -> None:
    images = f"file://{tmp_path}/pictures"
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([ANN]), images=images)
    snapshot = promote(writer_path, serving)
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([BEN]), images=images)
    snapshot.chmod(0o644)
    snapshot.write_bytes(b"no database" * 500)
    with pytest.raises(WarehouseError, match="not a DuckDB file"):
        collect_garbage(writer_path, serving, images=images)
    assert len(PictureStore(images).holdings()) == 2


def test_a_warehouse_in_use_raises(
    warehouse: DuckDBPyConnection, writer_path: Path, serving: Path
) -> None:
    publish(warehouse, night_of([ANN]))
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        collect_garbage(writer_path.with_name("other.duckdb"), serving)


def test_space_inside_the_file_is_given_back(writer_path: Path, serving: Path) -> None:
    many: list[Pair] = [(f"user-{n}", "noto/apple") for n in range(3000)]
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of(many, date=FIRST))
        publish(connection, night_of([ANN], date=SECOND))
        retain(connection, 0)
    promote(writer_path, serving)
    before = writer_path.stat().st_size
    collected = collect_garbage(writer_path, serving)
    after = writer_path.stat().st_size
    assert collected.file_bytes == before - after > 0
    assert check_warehouse(writer_path).rows() == []
    with open_warehouse(writer_path) as connection:
        [row] = connection.execute("SELECT user_id FROM asset_for('ann', 'noto/apple')").fetchall()
        assert row == ("ann",)
        indexes = connection.execute("SELECT index_name FROM duckdb_indexes()").fetchall()
        assert ("served_pairs_of_user",) in indexes
        assert publish(connection, night_of([BEN], date=day(3))).changed
    assert promote(writer_path, serving).name.startswith("2026-06-03")
    assert [path.name for path in writer_path.parent.glob("*.tmp*")] == []
