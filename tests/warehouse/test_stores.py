from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.runtime.storage import get_files
from pigeon_rec.warehouse import (
    PictureStore,
    check_warehouse,
    open_warehouse,
    publish,
    stores,
    with_bytes,
)
from tests.warehouse.nights import SECOND, again, assets_of, contents, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")


@pytest.fixture(params=["file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of each kind, empty and of this test alone."""
    return f"{request.param}://{tmp_path}/pictures"


def test_pictures_come_back_as_they_were(address: str) -> None:
    pictures = assets_of([ANN, BEN])
    uris = PictureStore(address).put(pictures)
    assert uris.to_list() == [
        f"{PictureStore(address).address}/{sha256[:2]}/{sha256}.png"
        for sha256 in pictures["image_sha256"]
    ]
    assert get_files(uris.to_list()) == dict(zip(uris, pictures["image"], strict=True))
    assert get_files([*uris[:1], f"{uris[0]}x", "memory://nowhere/at/all"]).keys() == {uris[0]}


def test_a_store_lists_and_removes_its_own_files_only(tmp_path: Path) -> None:
    store = PictureStore(f"file://{tmp_path}")
    uris = store.put(assets_of([ANN, BEN])).to_list()
    (tmp_path / "notes.txt").write_text("mine")
    strange = tmp_path / "ab" / f"cd{'0' * 62}.png"
    strange.parent.mkdir(exist_ok=True)
    strange.write_bytes(b"in the wrong folder")
    picture = Path(uris[0].removeprefix("file://"))
    unfinished = [
        picture.with_name(f".{picture.stem}.123.tmp{picture.suffix}"),
        picture.with_name(f".{picture.name}.123.tmp"),  # as earlier versions named it
    ]
    for path in unfinished:
        path.write_bytes(b"half")
    held = store.holdings()
    assert sorted(held) == sorted([*uris, *(f"file://{path}" for path in unfinished)])
    assert held[f"file://{unfinished[0]}"] == 4
    store.remove(list(held))
    assert store.holdings() == {}
    assert strange.exists()
    assert (tmp_path / "notes.txt").exists()


def test_an_empty_or_missing_store_holds_nothing(address: str) -> None:
    store = PictureStore(address)
    assert store.holdings() == {}
    store.remove([])
    assert store.put(assets_of([])).to_list() == []


def test_a_local_file_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PictureStore(f"file://{tmp_path}")

    def dies(_: Path, __: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            store.put(assets_of([ANN]))
    assert store.holdings() == {}


@pytest.mark.parametrize("wrong", ["pictures", "/srv/pictures", "://x", "file://", ""])
def test_an_address_needs_a_protocol(wrong: str) -> None:
    with pytest.raises(ConfigError, match="received") as caught:
        PictureStore(wrong)
    assert "file:///srv/pictures" in str(caught.value)


def test_an_unknown_protocol_raises() -> None:
    with pytest.raises(ConfigError, match="no installed package supports carrier://"):
        PictureStore("carrier://pigeon")


def test_a_store_that_cannot_be_written_raises(
    warehouse: DuckDBPyConnection, tmp_path: Path
) -> None:
    (tmp_path / "taken").touch()
    publish(warehouse, night_of([ANN]))
    before = contents(warehouse)
    with pytest.raises(WarehouseError, match="cannot be written") as caught:
        publish(warehouse, night_of([BEN]), images=f"file://{tmp_path}/taken/pictures")
    assert "taken/pictures" in str(caught.value.location)
    assert contents(warehouse) == before


def test_the_content_of_a_night_does_not_depend_on_where_its_bytes_are(
    tmp_path: Path, address: str
) -> None:
    night = night_of([ANN, BEN], rejected=[CAT])
    published = []
    for name, images in (("inside", "table"), ("outside", address)):
        with open_warehouse(tmp_path / name / "pigeon.duckdb") as connection:
            published.append(publish(connection, night, images=images))
            assert not publish(connection, again(night), images=images).changed
            served = connection.execute(
                "SELECT image IS NULL, image_uri IS NULL, byte_size FROM assets ORDER BY ALL"
            ).fetchall()
        sizes = sorted(len(image) for image in night.assets["image"])
        assert served == [(images != "table", images == "table", size) for size in sizes]
        assert check_warehouse(tmp_path / name / "pigeon.duckdb").rows() == []
    assert published[0] == published[1]


def test_with_bytes_fills_in_what_is_outside(warehouse: DuckDBPyConnection, address: str) -> None:
    publish(warehouse, night_of([ANN]))
    publish(warehouse, night_of([BEN], date=SECOND, reused=[ANN]), images=address)
    rows = pl.DataFrame(
        warehouse.execute("SELECT user_id, image, image_uri FROM served_assets").fetchall(),
        schema={"user_id": pl.String, "image": pl.Binary, "image_uri": pl.String},
        orient="row",
    )
    filled = with_bytes(rows)
    assert filled.drop("image").equals(rows.drop("image"))
    expected = dict(assets_of([ANN, BEN]).select("user_id", "image").iter_rows())
    assert dict(filled.select("user_id", "image").iter_rows()) == expected
    assert with_bytes(rows.filter(pl.col("image_uri").is_null())).height == 1


def test_bytes_are_there_before_the_rows(
    warehouse: DuckDBPyConnection, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: PictureStore, __: pl.DataFrame) -> pl.Series:
        raise WarehouseError("the bucket is full")

    publish(warehouse, night_of([ANN]), images=address)
    before = contents(warehouse)
    with monkeypatch.context() as patched:
        patched.setattr(stores.PictureStore, "put", fails)
        with pytest.raises(WarehouseError, match="bucket is full"):
            publish(warehouse, night_of([BEN]), images=address)
    assert contents(warehouse) == before
    assert len(PictureStore(address).holdings()) == 1


def test_a_sql_client_reads_the_bytes_behind_an_address(
    warehouse: DuckDBPyConnection, tmp_path: Path, writer_path: Path
) -> None:
    publish(warehouse, night_of([ANN]), images=f"file://{tmp_path}/pictures")
    warehouse.close()
    with duckdb.connect(str(writer_path), read_only=True) as client:
        client.execute("SET VARIABLE uri = (SELECT image_uri FROM asset_for('ann', 'noto/apple'))")
        [(content,)] = client.execute(
            "SELECT content FROM read_blob(getvariable('uri'))"
        ).fetchall()
    assert hashlib.sha256(content).hexdigest() == assets_of([ANN])["image_sha256"][0]
