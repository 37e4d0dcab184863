"""Exposures of any usual format and column names; bad rows are counted by fault."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pigeon_rec.columns import ExposureColumns
from pigeon_rec.data.import_exposures import ExposureRows, read_exposures
from pigeon_rec.data.opt_out import user_digest
from pigeon_rec.errors import InteractionError

HEADER = "user,item,asset_key,arm,propensity,time,clicked\n"
GOOD = "u,i,k1,personalised,0.5,2026-06-02 10:00,true\n"
TEN = dt.datetime(2026, 6, 2, 10, tzinfo=dt.UTC)


def write(folder: Path, text: str, name: str = "shown.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(source: Path | str, out: Path, **columns: Any) -> tuple[ExposureRows, pl.DataFrame]:
    found = read_exposures(str(source), out, ExposureColumns(**columns))
    return found, pl.read_parquet(found.path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "rows.tmp"


def test_columns_are_found_by_their_usual_names(tmp_path: Path, out: Path) -> None:
    text = "Visitor ID,sku,Picture,variant,Probability,shownAt,is_click\n1,2.0,,original,1,"
    found, rows = read(write(tmp_path, f"{text}2026-06-02T10:00:00Z,0\n"), out)
    assert found.columns == {
        "user": "Visitor ID", "item": "sku", "asset": "Picture", "arm": "variant",
        "propensity": "Probability", "time": "shownAt", "clicked": "is_click",
    }  # fmt: skip
    assert rows.rows() == [(1, "1", "2", None, "original", 1.0, TEN, False, None, None)]


def test_every_format_gives_the_same_rows(tmp_path: Path, out: Path) -> None:
    row = {
        "user": "u", "item": "i", "asset_key": "k1", "arm": "personalised", "propensity": 0.5,
        "time": TEN, "clicked": True, "taste": "noto", "cohort": "cohort:1",
    }  # fmt: skip
    frame = pl.DataFrame([row])
    written = frame.with_columns(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    frame.write_parquet(tmp_path / "a.parquet")
    written.write_csv(tmp_path / "a.csv")
    written.write_csv(tmp_path / "a.tsv", separator="\t")
    written.write_ndjson(tmp_path / "a.jsonl")
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        path = tmp_path / "a.parquet"
        connection.execute(f"CREATE TABLE shown AS FROM read_parquet('{path}')")
    sources: list[tuple[str, dict[str, Any]]] = [
        *((str(tmp_path / name), {}) for name in ("a.parquet", "a.csv", "a.tsv", "a.jsonl")),
        ("SELECT * FROM shown", {"database": tmp_path / "a.duckdb"}),
    ]
    for source, columns in sources:
        _, rows = read(source, out, **columns)
        assert rows.rows() == [
            (1, "u", "i", "k1", "personalised", 0.5, TEN, True, "noto", "cohort:1")
        ], source


@pytest.mark.parametrize("written", ["", "original", "Original", "NULL"])
def test_the_original_has_no_asset_key(tmp_path: Path, out: Path, written: str) -> None:
    _, rows = read(write(tmp_path, HEADER + GOOD.replace("k1", written)), out)
    assert rows["asset_key"].to_list() == [None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series([True, False, None]), [True, False]),
        (pl.Series([1, 0, 2]), [True, False]),
        (pl.Series([1.0, 0.0, 0.5]), [True, False]),
        (pl.Series(["TRUE", "f", "si"]), [True, False]),
        (pl.Series([" Yes ", "no", ""]), [True, False]),
    ],
)
def test_truth_in_any_form(
    tmp_path: Path, out: Path, values: pl.Series, expected: list[bool]
) -> None:
    frame = pl.DataFrame({"user": ["a", "b", "c"], "clicked": values}).with_columns(
        item=pl.lit("i"),
        asset_key=pl.lit(None, pl.String),
        arm=pl.lit("original"),
        propensity=0.5,
        time=TEN,
    )
    frame.write_parquet(tmp_path / "shown.parquet")
    found, rows = read(tmp_path / "shown.parquet", out)
    assert rows["clicked"].to_list() == expected
    assert [(fault.reason, fault.rows) for fault in found.faults] == [
        ("clicked is neither true nor false", 1)
    ]


def test_bad_rows_are_counted_by_fault_and_the_others_kept(tmp_path: Path, out: Path) -> None:
    bad = [
        ",i,k1,personalised,0.5,2026-06-02,1",
        "u,,k1,personalised,0.5,2026-06-02,1",
        "u,i,k1,personalised,0.5,,1",
        "u,i,k1,personalised,0.5,soon,1",
        "u,i,k1,,0.5,2026-06-02,1",
        "u,i,k1,other,0.5,2026-06-02,1",
        *(f"u,i,k1,personalised,{p},2026-06-02,1" for p in ("0", "-0.1", "1.01", "nan", "inf", "")),
        "u,i,k1,personalised,0.5,2026-06-02,maybe",
        "u,i,k1,personalised,0.5,2026-06-02,",
        "u,i,k1,original,0.5,2026-06-02,1",
        "u,i,k1",
    ]
    found, rows = read(write(tmp_path, HEADER + GOOD + "\n".join(bad)), out)
    assert rows.height == 1
    assert {fault.reason: fault.rows for fault in found.faults} == {
        "the line cannot be read": 1,
        "the user is missing": 1,
        "the item is missing": 1,
        "the time is missing, unreadable, or not in 1970 to 9999": 2,
        "the arm is missing": 1,
        "the arm is unknown": 1,
        "the propensity is not above 0 and at most 1": 6,
        "clicked is neither true nor false": 2,
        "the arm shows originals, and the row has an asset key": 1,
    }
    first = {fault.reason: fault.first_row for fault in found.faults}
    assert first["the arm is unknown"] == 7
    assert found.rows == 16


def test_arms_may_have_other_names(tmp_path: Path, out: Path) -> None:
    names = ("it's", "b", "original")
    rows = "".join(GOOD.replace("personalised", arm) for arm in ("it's", "b", "personalised"))
    found, kept = read(write(tmp_path, HEADER + rows), out, arms=names)
    assert kept["arm"].to_list() == ["it's", "b"]
    assert found.faults[0].reason == "the arm is unknown"


def test_who_has_opted_out_leaves_no_trace(tmp_path: Path, out: Path) -> None:
    source = write(tmp_path, HEADER + GOOD + GOOD.replace("u,", "gone,").replace("true", "?"))
    found = read_exposures(str(source), out, ExposureColumns(), [user_digest("gone")])
    assert (found.rows, found.faults) == (1, ())
    assert b"gone" not in out.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,item,asset_key,arm,time,clicked\n", "no column holds the propensity"),
        ("user,item,arm,propensity,time,clicked\n", "no column holds the asset"),
        (HEADER, "there are no rows to import"),
        (HEADER + GOOD.replace("true", "?"), "none of 1 rows is usable; the first: clicked"),
    ],
)
def test_an_unusable_table_is_refused(tmp_path: Path, out: Path, text: str, message: str) -> None:
    with pytest.raises(InteractionError, match=message):
        read(write(tmp_path, text), out)
    assert not out.exists()


def test_a_table_is_not_written_over(tmp_path: Path) -> None:
    source = write(tmp_path, HEADER + GOOD)
    with pytest.raises(InteractionError, match="write over the table"):
        read(source, source)
