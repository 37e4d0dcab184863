"""Odd paths, files, databases and queries: read right, or refused with path and reason."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pigeon_rec.columns import ImagesConfig, InteractionColumns, ItemColumns
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.import_interactions import import_interactions
from pigeon_rec.data.import_items import import_items
from pigeon_rec.errors import CatalogueError, InteractionError, PigeonError, StorageError
from tests.data.odd_tables import items, items_import, write
from tests.data.pictures import save_picture


@pytest.mark.parametrize("above", ["[ab]*?", "id=7", "title=x", "it's; --", "sp ace"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_path_is_neither_a_pattern_nor_a_column(folder: Path, above: str, kind: str) -> None:
    for name, item in (("i[12]*.", 1), ("i1.", 2)):
        save_picture(folder / above / "1.png")
        path = folder / above / (name + kind)
        frame = pl.DataFrame({"id": [item], "image": ["1.png"]})
        if kind == "parquet":
            frame.write_parquet(path)
        elif kind == "csv":
            frame.write_csv(path)
        else:
            frame.write_ndjson(path)
    rows = items(folder / above / f"i[12]*.{kind}").select("item_id", "title").rows()
    assert rows == [("1", "1")]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Path.mkdir, "this is a folder, not a file"),
        (_fifo, "this is a device or a pipe, not a file"),
        (_zeros, "this is a device or a pipe, not a file"),
        (_loop, "cannot read the file: Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file_is_told_at_once(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    table = tmp_path / "events.csv"
    make(table)
    with pytest.raises(InteractionError, match=message) as caught:
        import_interactions(str(table), tmp_path / "out.parquet", InteractionColumns())
    assert str(table) in str(caught.value)


@pytest.mark.parametrize("make", [_fifo, _zeros, _socket, _loop, Path.mkdir])
def test_a_picture_that_is_no_file_is_told(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "odd.png")
    result = items_import(write(folder, "id,image\n1,1.png\n2,odd.png\n3,~nobody/x.png\n"))
    assert load_catalogue(result.path).item_ids == ["1"]
    assert sum(result.problems.values()) == 2


@pytest.fixture
def database(folder: Path) -> Path:
    with duckdb.connect(str(folder / "it's.duckdb")) as connection:
        connection.execute("CREATE TABLE i AS SELECT 1 AS id, '1.png' AS image")
    return folder / "it's.duckdb"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM i",
        "select * from i ;; -- done;",
        "SELECT *, '--;' AS x FROM i /* y */",
        "FROM i",
        "WITH t AS (SELECT * FROM i) SELECT * FROM t",
        'SELECT id, id, image, 1 AS "ID" FROM i',
    ],
)
def test_one_select_is_a_query(folder: Path, database: Path, query: str) -> None:
    result = import_items(query, folder / "out", ItemColumns(database=database))
    assert load_catalogue(result.path).item_ids == ["1"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM i; SELECT 2", "this is SELECT, SELECT"),
        ("COPY i TO '{folder}/leak.csv'; SELECT * FROM i", "this is COPY, SELECT"),
        ("COPY i TO '{folder}/leak.csv'", "this is COPY"),
        ("INSERT INTO i VALUES (2, '2.png')", "this is INSERT"),
        ("DROP TABLE i", "this is DROP"),
        ("ATTACH '{folder}/leak.duckdb'", "this is ATTACH"),
        ("SET memory_limit = '1TB'", "this is SET"),
        ("  ; -- nothing", "this is nothing"),
        ("selec * fro", "syntax error"),
        ("SELECT * FROM nowhere", "nowhere does not exist"),
        ("SELECT * FROM i WHERE false", "there are no rows to import"),
    ],
)
def test_other_queries_are_refused_and_do_nothing(
    folder: Path, database: Path, query: str, message: str
) -> None:
    before = database.read_bytes()
    with pytest.raises(CatalogueError, match=message):
        import_items(query.format(folder=folder), folder / "out", ItemColumns(database=database))
    assert not list(folder.glob("leak*"))
    assert database.read_bytes() == before


def test_what_is_no_database_is_told(folder: Path, database: Path) -> None:
    other = write(folder, os.urandom(8192), "other.duckdb")
    for path, message in (
        (other, "not a valid DuckDB database"),
        (folder, "this is a folder, not a database"),
        (folder / "no.duckdb", "there is no such database"),
    ):
        with pytest.raises(CatalogueError, match=message):
            import_items("SELECT 1", folder / "out", ItemColumns(database=path))
    with duckdb.connect(str(database)), pytest.raises(PigeonError, match=r"cannot read the table"):
        import_items("SELECT * FROM i", folder / "out", ItemColumns(database=database))


def test_an_import_never_writes_over_its_source(folder: Path) -> None:
    (folder / "link").symlink_to(folder)
    for name in ("items.parquet", "refused.parquet", "picture_hashes.parquet"):
        pl.DataFrame({"id": [1], "image": ["1.png"]}).write_parquet(folder / name)
        before = (folder / name).read_bytes()
        with pytest.raises(CatalogueError, match="write over the table that it reads"):
            import_items(str(folder / name), folder / "link")
        assert (folder / name).read_bytes() == before
    pl.DataFrame({"user": [1], "item": [2], "time": ["2026-01-01"]}).write_parquet(folder / "e.pq")
    with pytest.raises(InteractionError, match="write over the table that it reads"):
        import_interactions(str(folder / "e.pq"), folder / "link" / "e.pq", InteractionColumns())


@pytest.mark.parametrize("out", ["file", "loop", "file/below", "taken"])
def test_a_folder_that_cannot_be_written_is_named(folder: Path, out: str) -> None:
    write(folder, "x", "file")
    _loop(folder / "loop")
    (folder / "taken" / "items.parquet").mkdir(parents=True)
    table = write(folder, "id,image\n1,1.png\n")
    with pytest.raises(OSError, match=r".") as caught:  # the command line makes it a StorageError
        import_items(str(table), folder / out)
    assert str(folder / out.partition("/")[0]) in str(caught.value.filename)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_missing_rights_are_told(folder: Path) -> None:
    table = write(folder, "id,image\n1,1.png\n2,2.png\n")
    (folder / "2.png").chmod(0)
    assert items_import(table).problems == {"image_missing": 1}
    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR)
    assert items_import(folder).problems["image_path"] == 1
    table.chmod(0)
    with pytest.raises(CatalogueError, match="Permission denied"):
        items_import(table)


def test_names_that_are_not_utf_8_are_told(folder: Path) -> None:
    os.rename(os.fsencode(folder / "2.png"), os.fsencode(folder) + b"/\xff.png")  # noqa: PTH104
    result = import_items(str(folder), folder / "out", images=ImagesConfig(folder=folder))
    assert result.items == 2
    assert result.first_problems[0].message == "the name of the file is not UTF-8; left out"
    assert r"\udcff.png" in result.first_problems[0].location


def test_a_full_disk_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write(tmp_path, "user,item,time\n1,2,2026-01-01\n")
    full = duckdb.IOException(f'IO Error: Could not write file "{tmp_path}/o": {os.strerror(28)}')

    def fail(*_: Any, **__: Any) -> None:
        raise full

    monkeypatch.setattr("pigeon_rec.data.import_interactions.replacing", fail)
    with pytest.raises(StorageError, match="Free space on that disk") as caught:
        import_interactions(str(table), tmp_path / "o", InteractionColumns())
    assert caught.value.location == f"{tmp_path}/o"
    assert caught.value.retryable
