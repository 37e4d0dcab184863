from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.config import WarehouseConfig
from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.warehouse import (
    AssetReader,
    ask,
    check_serving,
    check_warehouse,
    collect_garbage,
    connect,
    drop_night,
    migrate,
    open_warehouse,
    promote,
    publish,
)
from pigeon_rec.warehouse import marking as marking_module
from pigeon_rec.warehouse.marking import Marker, mark_stored, marked, marker_of
from pigeon_rec.warehouse.marks import Mark, mark_picture, read_mark, unmark_picture
from tests.warehouse.nights import FIRST, SECOND, again, assets_of, key_of, night_of
from tests.warehouse.test_upgrades import write_old

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")
METADATA = Marker("metadata")


def stored(connection: DuckDBPyConnection) -> dict[str, tuple[Any, ...]]:
    """Picture, its hashes and marking by user."""
    rows = connection.execute(
        "SELECT user_id, image, image_uri, image_sha256, drawn_sha256, marking, byte_size "
        "FROM assets"
    ).fetchall()
    return {user: tuple(facts) for user, *facts in rows}


def is_generated(source: DuckDBPyConnection, sha256: str) -> tuple[Any, ...]:
    [row] = source.execute("SELECT * FROM is_generated(?)", [sha256]).fetchall()
    return row


def drawn_hash(pair: tuple[str, str], version: str = "v1") -> str:
    return str(assets_of([pair], version)["image_sha256"][0])


def test_stored_bytes_are_marked_and_their_hash_is_theirs(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN]), marker=METADATA)
    image, uri, sha256, drawn, marking, size = stored(warehouse)["ann"]
    assert read_mark(image) == Mark("sticker-64@1", key_of(ANN))
    assert unmark_picture(image, "png") == assets_of([ANN])["image"][0]
    assert (uri, sha256, size) == (None, hashlib.sha256(image).hexdigest(), len(image))
    assert (drawn, marking) == (drawn_hash(ANN), "metadata")


def test_marking_changes_no_content_hash(writer_path: Path) -> None:
    hashes = set()
    for name, marker in (("plain", None), ("marked", METADATA)):
        with open_warehouse(writer_path.with_name(f"{name}.duckdb")) as connection:
            hashes.add(publish(connection, night_of([ANN, BEN]), marker=marker).content_sha256)
            second = night_of([CAT], date=SECOND, reused=[ANN])
            hashes.add(publish(connection, second, marker=marker).content_sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize("later", [METADATA, None])
def test_a_repeated_or_resumed_night_writes_nothing(
    warehouse: DuckDBPyConnection, later: Marker | None
) -> None:
    night = night_of([ANN, BEN])
    publish(warehouse, night, marker=METADATA)
    before = stored(warehouse)
    assert not publish(warehouse, night, marker=later).changed
    assert not publish(warehouse, again(night), marker=later).changed
    assert stored(warehouse) == before


@pytest.mark.parametrize(("first", "later"), [(METADATA, None), (None, METADATA)])
def test_stored_pictures_keep_their_bytes_whatever_the_setting(
    warehouse: DuckDBPyConnection, first: Marker | None, later: Marker | None
) -> None:
    """Neither a changed publication of the night nor a later night touches them."""
    publish(warehouse, night_of([ANN]), marker=first)
    before = stored(warehouse)["ann"]
    assert publish(warehouse, night_of([ANN, BEN]), marker=later).changed
    publish(warehouse, night_of([CAT], date=SECOND, reused=[ANN]), marker=later)
    after = stored(warehouse)
    assert after["ann"] == before
    assert {after[user][4] for user in ("ben", "cat")} == {later.kind if later else None}


def test_a_picture_that_was_drawn_differently_is_marked_anew(
    warehouse: DuckDBPyConnection,
) -> None:
    publish(warehouse, night_of([ANN]), marker=METADATA)
    publish(warehouse, night_of([ANN], salt="other"), marker=METADATA)
    image, _, sha256, drawn, _, _ = stored(warehouse)["ann"]
    assert drawn == assets_of([ANN], salt="other")["image_sha256"][0] != drawn_hash(ANN)
    assert hashlib.sha256(image).hexdigest() == sha256
    assert is_generated(warehouse, drawn_hash(ANN))[1]  # it was served once


def test_every_picture_ever_served_is_known(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN]), marker=METADATA)
    sha256 = stored(warehouse)["ann"][2]
    for asked, marking in ((sha256, "metadata"), (sha256.upper(), "metadata")):
        answer = (asked.lower(), True, marking, "sticker-64@1", key_of(ANN))
        assert is_generated(warehouse, asked) == answer
    assert is_generated(warehouse, drawn_hash(ANN))[1:3] == (True, None)
    publish(warehouse, night_of([BEN], date=SECOND))
    drop_night(warehouse, FIRST)
    for asked in (sha256, drawn_hash(ANN)):
        assert is_generated(warehouse, asked)[1] is True
        assert is_generated(warehouse, asked)[3:] == ("sticker-64@1", None)
    assert is_generated(warehouse, drawn_hash(BEN))[4] == key_of(BEN)
    assert is_generated(warehouse, "0" * 64) == ("0" * 64, False, None, None, None)
    assert is_generated(warehouse, "no hash") == ("no hash", False, None, None, None)


def test_many_pictures_are_looked_up_in_one_query(writer_path: Path, serving: Path) -> None:
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([ANN, BEN]), marker=METADATA)
    promote(writer_path, serving)
    answers = ask(
        serving,
        "SELECT found.generated, count(*) FROM (SELECT image_sha256 FROM assets UNION ALL "
        "SELECT 'other') AS asked CROSS JOIN LATERAL is_generated(asked.image_sha256) AS found "
        "GROUP BY ALL ORDER BY ALL",
    )
    assert answers.rows() == [(False, 1), (True, 2)]


def test_a_picture_drawn_for_two_keys_is_listed_once(warehouse: DuckDBPyConnection) -> None:
    night = night_of([ANN, BEN])
    [image, _] = night.assets["image"]
    same = night.assets.with_columns(
        image=pl.lit(image), image_sha256=pl.lit(hashlib.sha256(image).hexdigest())
    )
    object.__setattr__(night, "assets", same)
    publish(warehouse, night)
    assert warehouse.execute("SELECT count(*) FROM generated_pictures").fetchall() == [(1,)]
    publish(warehouse, night_of([ANN], salt="other"))
    publish(warehouse, night)
    assert warehouse.execute("SELECT count(*) FROM generated_pictures").fetchall() == [(2,)]
    assert is_generated(warehouse, same["image_sha256"][0])[4] == min(key_of(ANN), key_of(BEN))


@pytest.mark.parametrize("images", ["table", "store"])
def test_readers_get_marked_pictures(
    writer_path: Path, serving: Path, tmp_path: Path, images: str
) -> None:
    store = "table" if images == "table" else (tmp_path / "pictures").as_uri()
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([ANN, BEN]), marker=METADATA, images=store)
    promote(writer_path, serving)
    with AssetReader(serving) as reader:
        asset = reader.get(*ANN)
        assert asset is not None
        image = asset.read()
        assert hashlib.sha256(image).hexdigest() == asset.image_sha256
        assert read_mark(image) == Mark("sticker-64@1", key_of(ANN))
        if images == "store":
            assert asset.image_uri == f"{store}/{asset.image_sha256[:2]}/{asset.image_sha256}.png"
    assert check_warehouse(writer_path).rows() == []
    collect_garbage(writer_path, serving, images=store)
    assert check_warehouse(writer_path).rows() == []
    assert check_serving(serving).rows() == []


@pytest.mark.parametrize("images", ["table", "store"])
def test_stored_pictures_are_marked_on_request(
    writer_path: Path, serving: Path, tmp_path: Path, images: str
) -> None:
    store = "table" if images == "table" else (tmp_path / "pictures").as_uri()
    night = night_of([ANN, BEN])
    with open_warehouse(writer_path) as connection:
        content = publish(connection, night, images=store).content_sha256
        promoted = publish(connection, night_of([CAT], date=SECOND, reused=[ANN]), images=store)
    promote(writer_path, serving)
    with open_warehouse(writer_path) as connection:
        assert mark_stored(connection, METADATA) == 3
        assert mark_stored(connection, METADATA) == 0
        for user, pair in (("ann", ANN), ("ben", BEN), ("cat", CAT)):
            _, uri, sha256, drawn, marking, _ = stored(connection)[user]
            assert (drawn, marking) == (drawn_hash(pair), "metadata")
            assert (uri is None) == (images == "table")
            assert is_generated(connection, sha256)[1:3] == (True, "metadata")
            assert is_generated(connection, drawn)[1:3] == (True, None)
        again_published = publish(connection, night, images=store)
        assert (again_published.changed, again_published.content_sha256) == (False, content)
        assert not publish(
            connection, night_of([CAT], date=SECOND, reused=[ANN]), images=store
        ).changed
    assert promoted.changed
    promote(writer_path, serving)
    with AssetReader(serving) as reader:
        asset = reader.get(*ANN)
        assert asset is not None
        assert read_mark(asset.read()) == Mark("sticker-64@1", key_of(ANN))
    assert check_warehouse(writer_path).rows() == []


def test_marking_can_be_interrupted_and_repeated(
    warehouse: DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(warehouse, night_of([ANN, BEN, CAT]))
    monkeypatch.setattr(marking_module, "_PER_TRANSACTION", 1)
    marker = StopsAfter(2)
    with pytest.raises(KeyboardInterrupt):
        mark_stored(warehouse, marker)
    done = [facts[4] for facts in stored(warehouse).values()]
    assert sorted(done, key=str) == [None, "metadata", "metadata"]
    assert mark_stored(warehouse, METADATA) == 1


class StopsAfter(Marker):
    """Is interrupted at its n-th picture."""

    def __init__(self, pictures: int) -> None:
        super().__init__("metadata")
        object.__setattr__(self, "left", pictures)

    left: int

    def mark(self, image: bytes, encoding: str, mark: Mark) -> bytes:
        object.__setattr__(self, "left", self.left - 1)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().mark(image, encoding, mark)


def test_a_lost_or_wrong_picture_stops_the_marking(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    store = tmp_path / "pictures"
    publish(warehouse, night_of([ANN]), images=store.as_uri())
    [file] = store.rglob("*.png")
    image = file.read_bytes()
    file.write_bytes(mark_picture(assets_of([BEN])["image"][0], "png", Mark("x", "y")))
    with pytest.raises(WarehouseError, match="not the one that was drawn"):
        mark_stored(warehouse, METADATA)
    file.unlink()
    with pytest.raises(WarehouseError, match="1 pictures cannot be read: file:"):
        mark_stored(warehouse, METADATA)
    file.write_bytes(image)
    assert mark_stored(warehouse, METADATA) == 1


def test_pictures_of_older_warehouses_are_known_and_can_be_marked(
    writer_path: Path, tmp_path: Path
) -> None:
    writer_path.parent.mkdir()
    write_old(writer_path, 7, tmp_path / "migrations")
    with open_warehouse(writer_path) as connection:
        assert is_generated(connection, drawn_hash(ANN))[1:] == (
            True, None, "sticker-64@1", key_of(ANN),
        )  # fmt: skip
        assert mark_stored(connection, METADATA) == 1
    # The old night was written without its served rows.
    assert set(check_warehouse(writer_path)["kind"]) == {"wrong serving row"}


def test_an_old_list_of_equal_pictures_is_migrated(writer_path: Path, tmp_path: Path) -> None:
    """Two keys may have had the same bytes."""
    writer_path.parent.mkdir()
    write_old(writer_path, 7, tmp_path / "migrations")
    with connect(writer_path) as connection:
        connection.execute("INSERT INTO assets SELECT * REPLACE ('other' AS asset_key) FROM assets")
        migrate(connection)
        assert connection.execute("SELECT count(*) FROM generated_pictures").fetchall() == [(1,)]


def test_no_marker_leaves_the_rows_as_they_are() -> None:
    rows = assets_of([ANN])
    assert marked(rows, None).select(rows.columns).equals(rows)
    assert marked(rows.clear(), METADATA).columns == [*rows.columns, "marking", "drawn_sha256"]


def test_settings_name_the_marker() -> None:
    assert WarehouseConfig().marking == "metadata"
    assert marker_of(WarehouseConfig()) == METADATA
    assert marker_of(WarehouseConfig(marking=None)) is None
    with pytest.raises(ValueError, match="c2pa needs the files certificate and key"):
        WarehouseConfig(marking="c2pa")


def test_signing_without_the_package_is_our_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    files = {"certificate": tmp_path / "chain.pem", "key": tmp_path / "key.pem"}
    with pytest.raises(ConfigError, match=r"needs the package c2pa-python") as caught:
        marker_of(WarehouseConfig(marking="c2pa", **files))
    assert "pip install 'pigeon-rec[c2pa]'" in str(caught.value)
