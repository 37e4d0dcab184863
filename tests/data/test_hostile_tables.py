"""Odd and hostile tables: each is read right, or refused by an error with path and reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pigeon_rec.columns import InteractionColumns, ItemColumns
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.import_interactions import import_interactions
from pigeon_rec.data.import_items import import_items
from pigeon_rec.errors import CatalogueError, InteractionError
from tests.data.odd_tables import items, items_import, write


@pytest.mark.parametrize(
    "name",
    [
        'say "hi"', "{x}", "it's", "two\nlines", "x\u2028y", "a.b", "row", "keep_0", "*", "\u202ex",
        "name\\", "$1", "id;drop table x", "😀", "c1",
    ],
)  # fmt: skip
def test_a_column_of_any_name_is_kept(folder: Path, name: str) -> None:
    quoted = name.replace('"', '""')
    table = write(folder, f'id,"{quoted}",image\n1,a,1.png\n2,b,2.png\n')
    assert items(table, keep=(name,))[name].to_list() == ["a", "b"]
    parquet = folder / "items.parquet"
    pl.DataFrame({"id": [1], name: ["c"], "image": ["1.png"]}).write_parquet(parquet)
    assert items(parquet, keep=(name,))[name].to_list() == ["c"]
    lines = write(folder, json.dumps({"id": 1, name: "d", "image": "1.png"}) + "\n", "items.jsonl")
    assert items(lines, keep=(name,))[name].to_list() == ["d"]


def test_columns_that_differ_in_case_only_are_two(folder: Path) -> None:
    table = write(folder, "id,Brand,BRAND,image\n1,a,b,1.png\n")
    keep = {"keep": ("Brand", "BRAND")}
    assert items(table, **keep).select("Brand", "BRAND").rows() == [("a", "b")]
    frame = pl.read_csv(table)
    nested = frame.with_columns(deep=pl.struct(x=pl.lit(1), y=pl.struct(z=pl.lit(2)))).select(
        "deep", "id", "Brand", "BRAND", "image"
    )
    nested.write_parquet(folder / "items.parquet")
    assert items(folder / "items.parquet", **keep).select("Brand", "BRAND").rows() == [("a", "b")]
    table.write_text("ID,id,image\n1,2,1.png\n", encoding="utf-8")
    assert items(table)["item_id"].to_list() == ["2"]  # the usual spelling wins


def test_names_of_a_catalogue_are_not_taken_by_other_columns(folder: Path) -> None:
    table = write(folder, "id,foto,image\n1,1.png,x\n")
    with pytest.raises(CatalogueError, match="column 'image' cannot be kept"):
        items(table, image="foto", keep=("image",))
    result = import_items(str(table), folder / "out", ItemColumns(image="foto"), also=("image",))
    assert load_catalogue(result.path).item_ids == ["1"]


def test_ten_thousand_columns(folder: Path) -> None:
    names, values = (",".join(text) for text in ([f"c{n}" for n in range(10_000)], ["x"] * 10_000))
    table = write(folder, f"id,image,{names}\n1,1.png,{values}\n")
    assert items(table, keep=("c9999",))["c9999"].to_list() == ["x"]
    with pytest.raises(CatalogueError, match="and 9962 more") as caught:
        items(table, title="nope")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("content", "ids", "bad"),
    [
        (b"id,title,image\n1,a\0b,1.png\n2,\0,2.png\n\0\0\n3,c,3.png\n", ["1", "2", "3"], 1),
        (b"id,image\r1,1.png\r2,2.png\r", ["1", "2"], 0),
        (b"id,title,image\r\n1,a,1.png\n2,b,2.png\r\n3,c\n", ["1", "2"], 1),
        (b"id,image\r\n1,1.png\n2,2.png\r3,3.png\r\n", ["1", "2", "3"], 0),
        (b"id,image\n1,1.png\n2,2.png\r3,3.png\n", ["1", "2", "3"], 0),
        (b'id,title,image\n1,"a\rb",1.png\r\n2,"c\r\nd",2.png\n', ["1", "2"], 0),
        (b'id,title,image\n1,"a\r\nb",1.png\n2,b,2.png\n', ["1", "2"], 0),
        (b'id,title,image\r\n1,"a\nb",1.png\r\n2,b,2.png\r\n', ["1", "2"], 0),
        ("id,title,image\n1,ä,1.png\n".encode("utf-32"), ["1"], 0),
        ("id,image\n1,1.png\n".encode("utf-16") + b"\0", ["1"], 1),
        (b"id,title,image\n1," + b"x" * 2**20 + b",1.png\n", ["1"], 0),
        (b'id,title,image\n1,"' + b"x\n" * 2**19 + b'",1.png\n2,b,2.png\n', ["1", "2"], 0),
        (b"id,title,image\n1," + b"x" * 3 * 2**20 + b",1.png\n2,b,2.png\n", ["2"], 1),
        (b"id," + b"x" * 200_000 + b",image\n1,a,1.png\n", ["1"], 0),
        (b"id,image\n" + b"9" * 10_000 + b",1.png\n", ["9" * 10_000], 0),
        ("id,image\n../../etc,1.png\n\u202eabc,2.png\n".encode(), ["../../etc", "\u202eabc"], 0),
    ],
)
def test_odd_bytes_are_read_or_their_lines_told(
    folder: Path, content: bytes, ids: list[str], bad: int
) -> None:
    result = items_import(write(folder, content))
    assert load_catalogue(result.path).item_ids == ids
    assert result.problems == ({"bad_item": bad} if bad else {})


def test_packed_tables_are_read(folder: Path) -> None:
    table = write(
        folder, gzip.compress("id,title,image\n1,ä,1.png\n".encode("latin-1")), "i.csv.gz"
    )
    assert items(table)["title"].to_list() == ["ä"]
    lines = write(folder, gzip.compress(b'{"id": 1, "image": "1.png"}\n'), "i.jsonl.GZ")
    assert items(lines)["item_id"].to_list() == ["1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("i.csv", "id,image\n", "there are no rows to import"),
        ("i.csv", "\n\nid,image\n1,1.png\n", "the first line is empty"),
        ("i.csv", "\0" * 100, "fewer than two fields"),
        ("i.csv", 'id,title,image\n1,"open,1.png\n2,b,2.png\n', "none of 1 items is usable"),
        ("i.csv", 'id,"title,image\n1,a,1.png\n', "no column holds the image"),
        ("i.csv.gz", "plain", "cannot read the table: Not a gzipped file"),
        (
            "i.csv.gz",
            gzip.compress(b"id,image\n" * 9999, mtime=0)[:60],
            "ended before the end-of-stream",
        ),
        ("i.csv.zst", "x", "a .zst file is not a table"),
        ("i.json", "3", "no JSON objects"),
        ("i.json", "[1, [2]]", "no JSON objects"),
        ("i.json", '{"id": 1, "image": ', "unexpected end of data"),
        ("i.json", '{"a":' * 100_000 + "1" + "}" * 100_000, "no column holds the id"),
        ("i.parquet", b"PAR1" + bytes(range(256)) + b"PAR1", "cannot read the table"),
        ("x" * 300 + ".csv", None, "File name too long"),
        ("https://example.org/i.csv", None, "a table at an address is not read"),
    ],
)
def test_an_unusable_file_is_told(
    folder: Path, name: str, content: str | bytes | None, message: str
) -> None:
    table = name if "://" in name else str(folder / name)
    if content is not None:
        write(folder, content, name)
    with pytest.raises(CatalogueError, match=message) as caught:
        import_items(table, folder / "out")
    assert table in str(caught.value)
    assert "/pigeon-table-" not in str(caught.value)
    assert not (folder / "out").exists()


NESTED = pl.DataFrame({"id": [1, 2], "image": ["1.png", "2.png"]})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (NESTED.with_columns(id=pl.struct(a="id")), "the column of the ids holds STRUCT"),
        (NESTED.with_columns(id=pl.concat_list("id")), r"the column of the ids holds BIGINT\[\]"),
        (NESTED.with_columns(image=pl.struct(width="id")), "without `bytes` or `path`"),
        (NESTED.clear(), "there are no rows to import"),
    ],
)
def test_types_that_cannot_be_read_are_told(
    folder: Path, frame: pl.DataFrame, message: str
) -> None:
    frame.write_parquet(folder / "i.parquet")
    with pytest.raises(CatalogueError, match=message):
        items(folder / "i.parquet")


def test_pictures_may_be_lists_and_structures(folder: Path) -> None:
    data = (folder / "1.png").read_bytes()
    hub = [{"bytes": None, "path": "1.png"}, {"bytes": data, "path": "nowhere.png"}]
    for images in (
        hub,
        [{"path": "1.png", "width": 3}, {"path": "2.png", "width": 4}],
        [["1.png", "no.png"], ["2.png"]],
        [[hub[1]], [hub[0], hub[1]]],
        [[data], [data]],
    ):
        pl.DataFrame({"id": [1, 2], "image": images}).write_parquet(folder / "i.parquet")
        result = items_import(folder / "i.parquet")
        assert (result.items, result.problems) == (2, {})


def test_advice_about_pictures_is_given_where_pictures_are_missing(folder: Path) -> None:
    for line, advised in (("1,no.png", True), (",1.png", False)):
        with pytest.raises(CatalogueError, match="none of 1 items is usable") as caught:
            items(write(folder, f"id,image\n{line}\n"))
        assert ("images.folder" in (caught.value.remedy or "")) is advised


def test_lines_that_are_no_objects_are_told(folder: Path) -> None:
    lines = '{"id":1,"image":"1.png"}\nnot json\n[1]\n5\n\n{"id":2,"image":"2.png","id":3}\n'
    result = items_import(write(folder, lines, "i.jsonl"))
    assert load_catalogue(result.path).item_ids == ["1", "2"]
    assert result.problems == {"bad_item": 3}


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        (["0000-01-01", "-0001-01-01", "1969-12-31", "99999-01-01", "2026-01-01"], 1),
        (["infinity", "-infinity", "now", "today", "epoch", "2026-01-01"], 1),
        (["inf", "1e400", "-1e30", "nan", "1700000000", "1700000001"], 2),
        (["1e18", "-1", "1700000000", "1700000001", "1700000002"], 3),
    ],
)
def test_times_out_of_the_calendar_are_told(tmp_path: Path, times: list[str], kept: int) -> None:
    rows = "".join(f"u,{place},{time}\n" for place, time in enumerate(times))
    table = write(tmp_path, "user,item,time\n" + rows)
    result = import_interactions(str(table), tmp_path / "out.parquet", InteractionColumns())
    assert result.kept == kept
    assert sum(fault.rows for fault in result.faults) == len(times) - kept


@pytest.mark.parametrize("value", ["TIME '10:00'", "INTERVAL 3 DAYS", "true", "[1]", "{'a': 1}"])
def test_values_that_are_no_times_are_told(tmp_path: Path, value: str) -> None:
    table = tmp_path / "e.parquet"
    query = f'SELECT 1 AS "user", 2 AS item, {value} AS time'
    duckdb.execute(f"COPY ({query}) TO '{table}' (FORMAT parquet)")
    with pytest.raises(InteractionError, match="none of 1 rows is usable; the first: the time"):
        import_interactions(str(table), tmp_path / "out.parquet", InteractionColumns())


def test_odd_names_and_values_of_interactions(tmp_path: Path) -> None:
    rows = f"{'u' * 10_000},2,2026-01-01\n\u202ev,,2026-01-01\n"
    table = write(tmp_path, '"us""er","it\'em","t{}"\n' + rows)
    columns = InteractionColumns(user='us"er', item="it'em", time="t{}")
    result = import_interactions(str(table), tmp_path / "out.parquet", columns)
    assert (result.kept, result.faults[0].reason) == (1, "the item is missing")
