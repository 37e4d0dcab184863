"""Two warehouses and one address of pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.storage import list_files, remove_files
from pigeon_rec.warehouse import (
    PictureStore,
    check_warehouse,
    collect_garbage,
    open_warehouse,
    promote,
    publish,
    retain,
)
from tests.warehouse.nights import SECOND, Pair, contents, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")


@pytest.fixture(params=["file", "memory"])
def images(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}://{tmp_path}/pictures"


@pytest.fixture
def first(tmp_path: Path, images: str) -> Path:
    """A warehouse with pictures at the address."""
    return publish_in(tmp_path / "first", ANN, images)


def publish_in(folder: Path, pair: Pair, images: str) -> Path:
    path = folder / "pigeon.duckdb"
    with open_warehouse(path) as connection:
        publish(connection, night_of([pair]), images=images)
    return path


def collected(path: Path, images: str) -> int:
    return collect_garbage(path, path.with_name("serving.duckdb"), images=images).pictures


def markers(images: str) -> list[str]:
    return list(list_files(f"{images}/owners"))


def test_another_warehouse_neither_puts_nor_removes_pictures(
    first: Path, tmp_path: Path, images: str
) -> None:
    second = publish_in(tmp_path / "second", BEN, "table")
    with open_warehouse(second) as connection:
        before = contents(connection)
        with pytest.raises(WarehouseError, match="used by another warehouse") as caught:
            publish(connection, night_of([CAT], date=SECOND), images=images)
        assert contents(connection) == before
    assert str(first) in str(caught.value)
    assert "warehouse.images" in str(caught.value)
    with pytest.raises(WarehouseError, match="used by another warehouse"):
        collected(second, images)
    assert check_warehouse(first).rows() == []
    assert len(PictureStore(images).holdings()) == len(markers(images)) == 1
    assert collected(first, images) == 0


def test_a_warehouse_keeps_its_store_when_it_is_moved_compacted_and_promoted(
    first: Path, tmp_path: Path, images: str
) -> None:
    promote(first, first.with_name("serving.duckdb"))
    moved = Path(shutil.move(first.parent, tmp_path / "moved")) / first.name
    with open_warehouse(moved) as connection:
        publish(connection, night_of([BEN], date=SECOND), images=images)
        retain(connection, 0)
    collected(moved, images)
    promote(moved, moved.with_name("serving.duckdb"), keep=1)
    assert collected(moved, images) == 1
    assert len(markers(images)) == 1
    assert check_warehouse(moved).rows() == []


def test_a_store_older_than_markers_is_adopted_by_the_warehouse_that_refers_to_it(
    first: Path, images: str
) -> None:
    PictureStore(images).put(night_of([CAT]).assets)
    remove_files(markers(images))
    # The first time nothing is removed, so that others have time to leave their markers.
    assert collected(first, images) == 0
    assert len(markers(images)) == 1
    assert collected(first, images) == 1
    assert check_warehouse(first).rows() == []


def test_a_store_older_than_markers_is_adopted_by_a_publication(first: Path, images: str) -> None:
    remove_files(markers(images))
    with open_warehouse(first) as connection:
        connection.execute("DELETE FROM image_stores")
        publish(connection, night_of([BEN], date=SECOND), images=images)
    assert len(markers(images)) == 1


def test_a_store_without_marker_is_not_taken_by_a_warehouse_that_never_used_it(
    first: Path, tmp_path: Path, images: str
) -> None:
    remove_files(markers(images))
    with pytest.raises(WarehouseError, match="has left no marker yet"):
        publish_in(tmp_path / "second", BEN, images)
    with pytest.raises(WarehouseError, match="has left no marker yet"):
        collected(tmp_path / "second" / "pigeon.duckdb", images)
    assert markers(images) == []
    assert check_warehouse(first).rows() == []


def test_an_old_store_of_two_warehouses_is_never_collected(
    first: Path, tmp_path: Path, images: str
) -> None:
    # As earlier versions did it: both refer to the address, and there is no marker.
    hidden = markers(images)
    pictures = PictureStore(images).holdings()
    remove_files([*hidden, *pictures])
    second = publish_in(tmp_path / "second", BEN, images)
    remove_files(markers(images))
    PictureStore(images).put(night_of([ANN]).assets)
    assert collected(first, images) == 0
    with pytest.raises(WarehouseError, match="used by another warehouse"):
        collected(second, images)
    with pytest.raises(WarehouseError, match="used by another warehouse"):
        collected(first, images)
    # Both go on publishing, which harms no picture.
    with open_warehouse(first) as connection:
        publish(connection, night_of([CAT], date=SECOND), images=images)
    assert check_warehouse(first).rows() == check_warehouse(second).rows() == []


def test_a_refused_store_keeps_the_pictures_of_every_other_one(
    first: Path, tmp_path: Path, images: str
) -> None:
    PictureStore(images).put(night_of([CAT]).assets)
    publish_in(tmp_path / "second", BEN, f"file://{tmp_path}/second/pictures")
    with pytest.raises(WarehouseError, match="second"):
        collected(first, f"file://{tmp_path}/second/pictures")
    assert len(PictureStore(images).holdings()) == 2
