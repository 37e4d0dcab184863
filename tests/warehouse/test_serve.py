from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    AssetReader,
    NightRecords,
    open_warehouse,
    promote,
    publish,
    served_assets,
)
from tests.warehouse.nights import FIRST, SECOND, Pair, assets_of, key_of, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")
LONGER = ("ann", "noto/red-apple")


def promote_night(
    writer_path: Path, serving: Path, night: NightRecords, images: str = "table"
) -> None:
    with open_warehouse(writer_path) as connection:
        publish(connection, night, images=images)
    promote(writer_path, serving)


@pytest.fixture
def reader(writer_path: Path, serving: Path) -> Iterator[AssetReader]:
    promote_night(writer_path, serving, night_of([ANN, LONGER, BEN]))
    with AssetReader(serving) as opened:
        yield opened


def test_the_link_may_be_given_as_text(reader: AssetReader, serving: Path) -> None:
    with AssetReader(str(serving)) as opened:
        assert opened.get(*ANN) == reader.get(*ANN)


def test_one_pair(reader: AssetReader) -> None:
    asset = reader.get(*ANN)
    assert asset is not None
    assert (asset.user_id, asset.item_id, asset.origin) == (*ANN, "own")
    assert asset.image == asset.read() == assets_of([ANN])["image"][0]
    assert (asset.asset_key, asset.score, asset.format) == (key_of(ANN), 0.475, "png")
    assert (asset.run_id, asset.logical_date) == ("2026-06-01", FIRST)
    assert str(asset.image) not in repr(asset)


@pytest.mark.parametrize("user", ["nobody", "' OR '1'='1", "", "$user_id"])
def test_ids_are_values_never_sql(reader: AssetReader, user: str) -> None:
    found = reader.get(user, "noto/apple")
    assert found is None or found.origin != "own"
    assert "own" not in reader.get_many([(user, "noto/apple")]).to_series().to_list()
    assert reader.for_user(user).height == 0


def test_many_pairs_come_in_the_given_order(reader: AssetReader) -> None:
    pairs: list[Pair] = [BEN, LONGER, ANN, BEN]
    rows = reader.get_many(pairs)
    assert rows.select("user_id", "item_id").rows() == pairs
    assert rows["image"].to_list() == [assets_of([pair])["image"][0] for pair in pairs]
    frame = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    assert reader.get_many(frame.with_columns(more=1)).equals(rows)
    assert reader.get_many([]).columns == rows.columns
    one = reader.get(*BEN)
    assert one is not None
    assert rows.row(0, named=True)["asset_key"] == one.asset_key


def test_many_pairs_as_an_arrow_stream(reader: AssetReader) -> None:
    stream = reader.get_many_arrow([ANN, BEN])
    rows = pl.DataFrame(stream)
    assert rows.equals(reader.get_many([ANN, BEN]))
    with duckdb.connect() as client:
        client.register("answers", stream)
        assert client.execute("SELECT count(*) FROM answers").fetchall() == [(2,)]


def test_a_user_has_a_gallery_best_first(reader: AssetReader) -> None:
    assert reader.for_user("ann")["item_id"].to_list() == ["noto/red-apple", "noto/apple"]


def test_bytes_outside_the_table_are_fetched_on_demand(
    writer_path: Path, serving: Path, tmp_path: Path
) -> None:
    images = f"file://{tmp_path}/pictures"
    promote_night(writer_path, serving, night_of([ANN, BEN]), images=images)
    with AssetReader(serving) as reader:
        assert reader.get_many([ANN])["image"].null_count() == 1
        filled = reader.get_many([ANN, BEN], fetch=True)
        assert filled["image"].to_list() == assets_of([ANN, BEN])["image"].to_list()
        assert reader.for_user("ann", fetch=True)["image"][0] == filled["image"][0]
        asset = reader.get(*ANN)
        assert asset is not None
        assert (asset.image, asset.image_uri) == (None, filled["image_uri"][0])
        assert hashlib.sha256(asset.read()).hexdigest() == asset.image_sha256
        for file in tmp_path.glob("pictures/*/*.png"):
            file.unlink()
        with pytest.raises(WarehouseError, match="ann / noto/apple cannot be read"):
            asset.read()


def test_promotion_is_seen_by_the_next_call(
    reader: AssetReader, writer_path: Path, serving: Path
) -> None:
    for day in range(2, 7):
        date = dt.date(2026, 6, day)
        promote_night(writer_path, serving, night_of([CAT], date=date, salt=str(day)))
        asset = reader.get(*CAT)
        assert asset is not None
        assert asset.logical_date == date
        assert reader.get_many([CAT])["run_id"].to_list() == [date.isoformat()]


def test_a_call_in_progress_ends_on_the_night_it_began_with(
    reader: AssetReader, writer_path: Path, serving: Path
) -> None:
    with reader._cursor() as cursor:
        promote_night(writer_path, serving, night_of([CAT], date=SECOND))
        assert reader.get_many([CAT]).height == 1
        rows = cursor.execute("SELECT DISTINCT run_id FROM served_assets").fetchall()
        assert rows == [("2026-06-01",)]


def test_old_snapshots_are_closed(reader: AssetReader, writer_path: Path, serving: Path) -> None:
    reader.get(*ANN)
    old = reader._current
    promote_night(writer_path, serving, night_of([CAT], date=SECOND))
    reader.get(*CAT)
    with pytest.raises(duckdb.ConnectionException):
        old._connection.execute("SELECT 1")


def test_threads_share_a_reader_across_promotions(
    reader: AssetReader, writer_path: Path, serving: Path
) -> None:
    stop = threading.Event()

    def reads(_: int) -> set[str]:
        nights: set[str] = set()
        while not stop.is_set():
            rows = reader.get_many([ANN, BEN, LONGER])
            assert rows.height == 3
            assert rows["run_id"].n_unique() == 1
            assert reader.get(*ANN) is not None
            nights |= set(rows["run_id"])
        return nights

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(reads, number) for number in range(4)]
        for day in range(2, 6):
            night = night_of([ANN, BEN, LONGER], date=dt.date(2026, 6, day), version=f"v{day}")
            promote_night(writer_path, serving, night)
        assert reader.get_many([ANN])["run_id"].to_list() == ["2026-06-05"]
        stop.set()
        seen = [answer.result(timeout=60) for answer in answers]
    assert max(map(len, seen)) > 1


def test_an_error_does_not_spoil_the_reader(reader: AssetReader) -> None:
    def fails() -> None:
        with reader._cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")

    with pytest.raises(WarehouseError, match="no_such_table"):
        fails()
    assert reader.get(*ANN) is not None


def test_a_reader_of_a_missing_warehouse_raises(serving: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        AssetReader(serving)


def test_a_closed_reader_raises(reader: AssetReader, writer_path: Path, serving: Path) -> None:
    reader.close()
    with pytest.raises(WarehouseError, match="this reader is closed"):
        reader.get(*ANN)
    reader.close()
    # Open in the other mode works only if the reader has closed it.
    serving.resolve().chmod(0o644)
    duckdb.connect(str(serving.resolve())).close()
    assert served_assets(serving).height == 3
