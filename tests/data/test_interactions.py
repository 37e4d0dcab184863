"""Atomic files and parquet, valid and malformed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.interactions import (
    INTERACTION_SCHEMA,
    load_interactions,
    scan_interactions,
)
from pigeon_rec.errors import InteractionError

if TYPE_CHECKING:
    from tests.data.conftest import Shop

HEADER = "user_id:token\titem_id:token\ttimestamp:float"


@pytest.fixture
def catalogue(shop: Shop) -> Catalogue:
    return load_catalogue(shop.write())


@pytest.fixture
def inter(tmp_path: Path) -> Path:
    return tmp_path / "shop.inter"


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def test_an_atomic_file_is_sorted_by_user_time_and_item(catalogue: Catalogue, inter: Path) -> None:
    write(inter, "v\tred\t50", "u\tred\t30.5", "u\tgreen\t20", "u\tblue\t20")
    rows, problems = load_interactions(inter, catalogue)
    assert problems == []
    assert rows.schema == INTERACTION_SCHEMA
    assert rows.select("user_id", "item_id").rows() == [
        ("u", "blue"),
        ("u", "green"),
        ("u", "red"),
        ("v", "red"),
    ]
    assert rows["timestamp"][2] == datetime(1970, 1, 1, 0, 0, 30, 500_000, tzinfo=UTC)


def test_further_columns_and_another_order_are_fine(catalogue: Catalogue, inter: Path) -> None:
    header = "timestamp:float\trating:float\titem_id:token\trating:float\tuser_id:token"
    write(inter, "7\t5\tred\t4\tu", header=header)
    rows, _ = load_interactions(inter, catalogue)
    assert rows.rows() == [("u", "red", datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC))]


def test_ids_stay_strings_and_quotes_are_plain_characters(inter: Path, shop: Shop) -> None:
    shop.rows[0]["item_id"] = "007"
    shop.rows[1]["item_id"] = '"quoted'
    write(inter, "01\t007\t1", '01\t"quoted\t2')
    rows, problems = load_interactions(inter, load_catalogue(shop.write()))
    assert problems == []
    assert rows["item_id"].to_list() == ["007", '"quoted']
    assert rows["user_id"].to_list() == ["01", "01"]


def test_until_is_exclusive(catalogue: Catalogue, inter: Path) -> None:
    write(inter, "u\tred\t86399.5", "u\tgreen\t86400", "u\tblue\t90000")
    rows, _ = load_interactions(inter, catalogue, until=datetime(1970, 1, 2, tzinfo=UTC))
    assert rows["item_id"].to_list() == ["red"]


def test_until_needs_a_time_zone(catalogue: Catalogue, inter: Path) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the mistake under test
    with pytest.raises(InteractionError, match="no time zone"):
        load_interactions(write(inter), catalogue, until=naive)


def test_unknown_items_are_reported_with_file_row_and_id(catalogue: Catalogue, inter: Path) -> None:
    write(inter, "u\tred\t1", "u\tgrey\t2", "v\tgrey\t3", "v\tpink\t4", "v\tblue\t5")
    rows, problems = load_interactions(inter, catalogue)
    assert rows["item_id"].to_list() == ["red", "blue"]
    assert [(p.kind, p.subject) for p in problems] == [
        ("unknown_item", "grey"),
        ("unknown_item", "pink"),
    ]
    assert problems[0].location == f"{inter}, row 2 (line 3)"
    assert "'grey'" in problems[0].message
    assert "(2)" in problems[0].message
    assert [p.rows for p in problems] == [2, 1]


def test_unknown_items_after_until_are_not_reported(catalogue: Catalogue, inter: Path) -> None:
    write(inter, "u\tred\t1", "u\tgrey\t100")
    _, problems = load_interactions(inter, catalogue, until=datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    assert problems == []


def test_blank_lines_are_passed_over_but_counted(catalogue: Catalogue, inter: Path) -> None:
    rows, problems = load_interactions(write(inter, "u\tred\t1", "", "u\tgrey\t2", ""), catalogue)
    assert rows["item_id"].to_list() == ["red"]
    assert problems[0].location == f"{inter}, row 3 (line 4)"


def test_windows_line_ends_are_fine(catalogue: Catalogue, inter: Path) -> None:
    inter.write_bytes(f"{HEADER}\r\nu\tred\t1\r\n".encode())
    rows, _ = load_interactions(inter, catalogue)
    assert rows["item_id"].to_list() == ["red"]


def test_an_empty_file_with_a_header_gives_no_rows(catalogue: Catalogue, inter: Path) -> None:
    rows, problems = load_interactions(write(inter), catalogue)
    assert rows.schema == INTERACTION_SCHEMA
    assert rows.is_empty()
    assert problems == []


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("user_id:token\titem_id:token", "nothing for timestamp"),
        ("user_id\titem_id\ttimestamp", "user_id for user_id, not user_id:token"),
        ("user_id:token\titem_id:token\ttimestamp:token", "timestamp:token for timestamp"),
        ("user_id:token,item_id:token,timestamp:float", "line 1"),
        ("u\tred\t1", "nothing for user_id"),
    ],
)
def test_a_wrong_header_is_reported(
    catalogue: Catalogue, inter: Path, header: str, message: str
) -> None:
    with pytest.raises(InteractionError, match=message):
        load_interactions(write(inter, header=header), catalogue)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u\tred\t", "timestamp"),
        ("u\tred\tyesterday", "timestamp"),
        ("u\tred\tnan", "timestamp"),
        ("u\tred\t-1", "timestamp"),
        ("u\tred\t1780000000000", "seconds since 1970"),
        ("u\tred", "timestamp"),
        ("\tred\t1", "user_id is empty"),
        ("u\t\t1", "item_id is empty"),
    ],
)
def test_a_broken_row_is_left_out_and_a_problem(
    catalogue: Catalogue, inter: Path, line: str, message: str
) -> None:
    rows, (problem,) = load_interactions(write(inter, "u\tgreen\t1", line), catalogue)
    assert rows["item_id"].to_list() == ["green"]
    subject = "?" if line.startswith("\t") else "u"
    assert (problem.kind, problem.subject) == ("bad_interaction", subject)
    assert problem.location == f"{inter}, row 2 (line 3)"
    assert message in problem.message


def test_broken_rows_are_counted_per_user_and_fault(catalogue: Catalogue, inter: Path) -> None:
    lines = ["u\tred\t1", "u\tred\tnan", "v\tred\t-2", "u\tblue\t-2", "u\t\t9", "u\tgrey\tx"]
    rows, problems = load_interactions(write(inter, *lines), catalogue)
    assert rows.height == 1
    times = "timestamp is not in seconds since 1970; left out"
    assert [(p.subject, p.message) for p in problems] == [
        ("u", f"{times} (3)"),
        ("v", f"{times} (1)"),
        ("u", "item_id is empty; left out (1)"),
    ]


def test_broken_rows_after_until_are_not_reported(catalogue: Catalogue, inter: Path) -> None:
    write(inter, "u\tred\t1", "\tred\t2", "\tred\t100", "u\tred\tnan")
    until = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    _, problems = load_interactions(inter, catalogue, until=until)
    assert [(p.subject, p.location[-8:]) for p in problems] == [
        ("?", "(line 3)"),
        ("u", "(line 5)"),
    ]


def test_a_file_without_any_usable_row_is_an_error(catalogue: Catalogue, inter: Path) -> None:
    write(inter, "u\tred\t1780000000000", "v\tred\t1780000000000")
    with pytest.raises(InteractionError, match=r"none of the 2 rows is usable.*seconds since 1970"):
        load_interactions(inter, catalogue)


@pytest.mark.parametrize("line", [b"u\tred\t1\textra", b"u\tr\xe9d\t1", b"u\t\xff\xfe\t1\t"])
def test_a_torn_line_is_left_out_and_a_problem(
    catalogue: Catalogue, inter: Path, line: bytes
) -> None:
    lines = [HEADER.encode(), "ü\tred\t1".encode(), b"", line, b"v\tblue\t2", b""]
    inter.write_bytes(b"\n".join(lines))
    rows, (problem,) = load_interactions(inter, catalogue)
    assert rows.select("user_id", "item_id").rows() == [("v", "blue"), ("ü", "red")]
    assert (problem.kind, problem.subject) == ("bad_interaction", "u")
    assert problem.location == f"{inter}, row 3 (line 4)"
    assert "not UTF-8 text or has too many fields" in problem.message


@pytest.mark.parametrize("name", ["gone.inter", "gone.parquet"])
def test_a_missing_file_is_reported(catalogue: Catalogue, tmp_path: Path, name: str) -> None:
    with pytest.raises(InteractionError, match=f"cannot read the interactions.*{name}"):
        load_interactions(tmp_path / name, catalogue)


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([0, 5]),
        pl.Series([0.0, 5.0]),
        pl.Series([0, 5_000]).cast(pl.Datetime("ms")),
        pl.Series([0, 5_000_000]).cast(pl.Datetime("us", "UTC")),
        pl.Series([0, 5_000_000_000])
        .cast(pl.Datetime("ns", "UTC"))
        .dt.convert_time_zone("Asia/Tokyo"),
    ],
    ids=lambda times: str(times.dtype),
)
def test_parquet_times_of_every_kind_become_utc(
    catalogue: Catalogue, tmp_path: Path, times: pl.Series
) -> None:
    path = tmp_path / "log.parquet"
    frame = pl.DataFrame({"user_id": "u", "item_id": ["red", "blue"], "timestamp": times})
    frame.write_parquet(path)
    rows, _ = load_interactions(path, catalogue)
    assert rows.schema == INTERACTION_SCHEMA
    assert rows["timestamp"].to_list() == [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC),
    ]


@pytest.mark.parametrize("kind", [pl.Int64(), pl.Datetime("us", "UTC"), pl.Datetime("ms")])
def test_a_null_or_impossible_time_in_parquet_is_a_problem(
    catalogue: Catalogue, tmp_path: Path, kind: pl.DataType
) -> None:
    path = tmp_path / "log.parquet"
    times = pl.Series([1, None, -5_000_000, 2**62], dtype=pl.Int64()).cast(kind)
    frame = pl.DataFrame({"user_id": ["u", "v", "w", "x"], "item_id": "red", "timestamp": times})
    frame.write_parquet(path)
    rows, problems = load_interactions(path, catalogue)
    assert rows["user_id"].to_list() == ["u"]
    assert [(p.subject, p.location) for p in problems] == [
        (user, f"{path}, row {row}") for row, user in enumerate("vwx", start=2)
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user_id": [1]}, "column user_id holds Int64"),
        ({"timestamp": [True]}, "column timestamp holds Boolean"),
    ],
)
def test_parquet_columns_of_another_type_are_reported(
    catalogue: Catalogue, tmp_path: Path, changes: dict[str, list[object]], message: str
) -> None:
    path = tmp_path / "log.parquet"
    columns: dict[str, list[object]] = {"user_id": ["u"], "item_id": ["red"], "timestamp": [1]}
    pl.DataFrame(columns | changes).write_parquet(path)
    with pytest.raises(InteractionError, match=message):
        load_interactions(path, catalogue)


def test_missing_parquet_columns_are_reported(catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": ["u"]}).write_parquet(path)
    with pytest.raises(InteractionError, match="columns are missing: item_id, timestamp"):
        load_interactions(path, catalogue)


def test_the_bundled_interactions_fit_the_bundled_catalogue() -> None:
    rows, problems = load_interactions("bundled", load_catalogue("bundled"))
    assert problems == []
    assert rows["user_id"].n_unique() >= 2000
    assert rows.height > 60_000


@pytest.mark.parametrize("torn", ["", "u\tred\t1\tmore", "u\t\udcff\t1"])
def test_a_file_that_is_not_held_gives_the_same_rows_and_problems(
    catalogue: Catalogue, inter: Path, torn: str
) -> None:
    lines = [
        "u\tred\t1",
        "v\tgrey\t2",
        torn,
        "\tred\t2",
        "v\tgreen\t90",
        "a\tblue\t2",
        "v\tgrey\t3",
    ]
    inter.write_bytes("\n".join([HEADER, *lines]).encode(errors="surrogateescape"))
    until = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    rows, problems = load_interactions(inter, catalogue, until=until)
    scanned = scan_interactions(inter, catalogue, until=until)
    streamed = scanned.known().collect(engine="streaming").sort("user_id", "timestamp", "item_id")
    assert streamed.equals(rows)
    assert scanned.problems() == problems
    assert rows["user_id"].to_list() == ["a", "u"]
    assert len(problems) == 2 + bool(torn)
