from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pigeon_rec.columns import InteractionColumns, RecommendationColumns
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.import_interactions import import_interactions, import_recommendations
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.errors import InteractionError, PlanError

NOON = dt.datetime(2026, 5, 30, 12, tzinfo=dt.UTC)


def imported(source: Path, **columns: Any) -> pl.DataFrame:
    out = source.parent / "out.parquet"
    import_interactions(str(source), out, InteractionColumns(**columns))
    return pl.read_parquet(out)


def write(folder: Path, text: str, name: str = "events.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("name", "text", "encoding", "columns"),
    [
        ("a.csv", "user_id,item_id,timestamp\n1,007,1780142400\n", "utf-8", {}),
        ("bom.csv", "user_id,item_id,timestamp\n1,007,1780142400\n", "utf-8-sig", {}),
        ("crlf.csv", "user_id,item_id,timestamp\r\n1,007,1780142400\r\n", "utf-8", {}),
        ("quoted.csv", '"user_id","item_id","timestamp"\n"1","007","1780142400"\n', "utf-8", {}),
        ("semicolon.csv", "user_id;item_id;timestamp\n1;007;1780142400\n", "utf-8", {}),
        ("bar.txt", "user_id|item_id|timestamp\n1|007|1780142400\n", "utf-8", {}),
        ("a.tsv", "user_id\titem_id\ttimestamp\n1\t007\t1780142400\n", "utf-8", {}),
        ("utf16.csv", "user_id,item_id,timestamp\n1,007,1780142400\n", "utf-16", {}),
        ("a.inter", "user_id:token\titem_id:token\ttimestamp:float\n1\t007\t1780142400\n", "utf-8",
         {}),
        ("ratings.dat", "1::007::5::1780142400\n", "utf-8",
         {"names": ("user", "item", "rating", "time")}),
        ("a.jsonl", '{"user_id": 1, "item_id": "007", "timestamp": 1780142400}\n', "utf-8", {}),
        ("a.json", '[{"user_id": 1, "item_id": "007", "timestamp": 1780142400}]', "utf-8", {}),
        ("names.csv", "Customer ID,SKU,Created At\n1,007,1780142400\n", "utf-8", {}),
        ("own.csv", "wer,was,wann\n1,007,1780142400\n", "utf-8",
         {"user": "wer", "item": "was", "time": "wann"}),
    ],
)  # fmt: skip
def test_reads_every_usual_text_format(
    tmp_path: Path, name: str, text: str, encoding: str, columns: dict[str, Any]
) -> None:
    rows = imported(write(tmp_path, text, name, encoding), **columns)
    assert rows.select("user_id", "item_id", "timestamp").rows() == [("1", "007", NOON)]


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("2026-05-30T12:00:00Z", "UTC"),
        ("2026-05-30T14:00:00+02:00", "UTC"),
        ("2026-05-30 12:00:00", "UTC"),
        ("2026-05-30 14:00:00", "Europe/Berlin"),
        ("2026-05-30T12:00:00Z", "Europe/Berlin"),
        ("1780142400", "Europe/Berlin"),
        ("1780142400.0", "UTC"),
        ("1780142400000", "UTC"),
        ("1780142400000000", "UTC"),
        ("1780142400000000000", "UTC"),
    ],
)
def test_every_form_of_a_time_is_the_same_moment(tmp_path: Path, written: str, zone: str) -> None:
    source = write(tmp_path, f"user,item,time\nu,i,{written}\n")
    assert imported(source, time_zone=zone)["timestamp"].to_list() == [NOON]


@pytest.mark.parametrize(
    ("written", "columns"),
    [
        ("2026-05-30", {}),
        ("20260530", {}),
        ("30.05.2026", {"time_format": "%d.%m.%Y"}),
        ("1780099200", {"time_unit": "s"}),
    ],
)
def test_a_date_is_its_first_moment(tmp_path: Path, written: str, columns: dict[str, Any]) -> None:
    source = write(tmp_path, f"user,item,time\nu,i,{written}\n")
    midnight = dt.datetime(2026, 5, 30, tzinfo=dt.UTC)
    assert imported(source, **columns)["timestamp"].to_list() == [midnight]


_UUID = uuid.UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series([7, 8], dtype=pl.Int64), ["7", "8"]),
        (pl.Series([7, 8], dtype=pl.UInt32), ["7", "8"]),
        (pl.Series([7.0, None], dtype=pl.Float64), ["7"]),
        (pl.Series([7.0, float("nan")], dtype=pl.Float64), ["7"]),
        (pl.Series([7.0, 1e300], dtype=pl.Float64), ["7", "1e+300"]),
        (pl.Series([Decimal("7.00"), Decimal("8.50")], dtype=pl.Decimal(10, 2)), ["7", "8.50"]),
        (pl.Series(["a", "b"], dtype=pl.Categorical()), ["a", "b"]),
        (pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])), ["a", "b"]),
        (pl.Series([str(_UUID)]), [str(_UUID)]),
        (pl.Series(["007", "7", "7.0", " 7 "]), ["007", "7"]),
        (pl.Series(["NaN", "null", "None", "", "<NA>", "x"]), ["x"]),
        (pl.Series(["nancy", "0", "-1.0", "1.50"]), ["-1", "0", "1.50", "nancy"]),
    ],
)
def test_ids_of_any_type_become_texts(
    tmp_path: Path, values: pl.Series, expected: list[str]
) -> None:
    path = tmp_path / "events.parquet"
    pl.DataFrame({"user": values, "item": values, "time": NOON}).write_parquet(path)
    rows = imported(path)
    assert sorted(rows["user_id"]) == sorted(expected)
    assert rows["user_id"].to_list() == rows["item_id"].to_list()


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([NOON.replace(tzinfo=None)], dtype=pl.Datetime("ms")),
        pl.Series([NOON.replace(tzinfo=None)], dtype=pl.Datetime("ns")),
        pl.Series([NOON], dtype=pl.Datetime("us", "UTC")),
        pl.Series([NOON], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Tokyo"),
        pl.Series([1780142400], dtype=pl.UInt32),
        pl.Series([1780142400000], dtype=pl.Int64),
        pl.Series([1780142400.0], dtype=pl.Float64),
        pl.Series([Decimal("1780142400")], dtype=pl.Decimal(20, 0)),
        pl.Series(["2026-05-30T12:00:00Z"]),
    ],
)
def test_times_of_any_type_are_the_same_moment(tmp_path: Path, times: pl.Series) -> None:
    path = tmp_path / "events.parquet"
    pl.DataFrame({"user": ["u"], "item": ["i"], "time": times}).write_parquet(path)
    assert imported(path)["timestamp"].to_list() == [NOON]


def test_latin_1_is_recognised_and_told(tmp_path: Path) -> None:
    source = write(tmp_path, "user,item,time\nJürgen,Käse,2026-05-30\n", encoding="latin-1")
    result = import_interactions(str(source), tmp_path / "out.parquet", InteractionColumns())
    assert "read as latin-1" in result.notes
    assert pl.read_parquet(result.path).row(0)[:2] == ("Jürgen", "Käse")


def test_one_broken_byte_does_not_turn_utf_8_into_latin_1(tmp_path: Path) -> None:
    source = tmp_path / "events.csv"
    lines = "user,item,time\nJürgen,a,2026-05-30\n".encode() + b"\xff,b,2026-05-30\n"
    source.write_bytes(lines)
    result = import_interactions(str(source), tmp_path / "out.parquet", InteractionColumns())
    assert pl.read_parquet(result.path)["user_id"].to_list() == ["Jürgen"]
    assert [fault.rows for fault in result.faults] == [1]


def test_bad_rows_are_counted_by_fault_and_the_others_kept(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        "user,item,time\nu,i,2026-05-30\n,i,2026-05-30\nu,null,2026-05-30\nu,i,soon\n"
        "u,j,1969-01-01\nu,j,99999-01-01\nu,i,2026-05-30,more\nu\n",
    )
    result = import_interactions(str(source), tmp_path / "out.parquet", InteractionColumns())
    assert result.kept == 1
    assert {fault.reason: fault.rows for fault in result.faults} == {
        "the line cannot be read": 2,
        "the user is missing": 1,
        "the item is missing": 1,
        "the time is missing, unreadable, or not in 1970 to 9999": 3,
    }
    first = {fault.reason: (fault.first_row, fault.example) for fault in result.faults}
    assert first["the user is missing"] == (2, "user=null, item=i, time=2026-05-30")
    assert first["the line cannot be read"][0] == 8  # counted from the header


def test_equal_rows_are_written_once_and_counted(tmp_path: Path) -> None:
    source = write(tmp_path, "user,item,time\n" + "u,i,2026-05-30\n" * 3 + "u,i,2026-05-31\n")
    result = import_interactions(str(source), tmp_path / "out.parquet", InteractionColumns())
    assert (result.rows, result.kept, result.duplicates) == (4, 2, 2)


def test_low_ratings_are_left_out(tmp_path: Path) -> None:
    text = "user,item,time,rating\nu,a,2026-05-30,4\nu,b,2026-05-30,3.5\nu,c,2026-05-30,\n"
    source = write(tmp_path, text)
    result = import_interactions(
        str(source), tmp_path / "out.parquet", InteractionColumns(min_rating=4)
    )
    assert (result.kept, result.low_rated) == (1, 1)
    assert [fault.reason for fault in result.faults] == ["the rating is no number"]
    assert pl.read_parquet(result.path)["rating"].to_list() == [4.0]


def test_a_lowest_rating_of_zero_counts(tmp_path: Path) -> None:
    source = write(tmp_path, "user,item,time,rating\nu,a,2026-05-30,0\nu,b,2026-05-30,-1\n")
    assert imported(source, min_rating=0.0)["item_id"].to_list() == ["a"]


def test_reads_a_query_of_a_database(tmp_path: Path) -> None:
    database = tmp_path / "shop.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE sales (who BIGINT, what INTEGER, seen TIMESTAMP)")
        connection.execute("INSERT INTO sales VALUES (1, 7, '2026-05-30 12:00:00'), (2, 8, NULL)")
    result = import_interactions(
        "SELECT who AS user, what AS item, seen AS time FROM sales;",
        tmp_path / "out.parquet",
        InteractionColumns(database=database),
    )
    assert pl.read_parquet(result.path).rows() == [("1", "7", NOON)]
    assert result.faults[0].rows == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "user,item\nu,i\n", "no column holds the time; the table has user, item"),
        ("a.csv", "user,item,time\n", "there are no rows to import"),
        ("a.csv", "user,item,time\nu,i,never\n", "none of 1 rows is usable; the first: the time"),
        ("a.csv", "", "the file is empty"),
        ("a.csv", "user,user,time\nu,i,1\n", "more than once"),
        ("a.csv", "one field\nx\n", "fewer than two fields"),
        ("a.parquet", "not parquet", "cannot read the table"),
        ("a.xlsx", "PK", "a .xlsx file is not a table"),
        ("a.jsonl", "not json\n", "holds no JSON objects"),
    ],
)
def test_an_unusable_table_is_refused_with_its_reason(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    source = write(tmp_path, text, name)
    with pytest.raises(InteractionError, match=message) as caught:
        imported(source)
    assert str(source) in str(caught.value)


def test_a_missing_file_is_named_with_its_whole_path(tmp_path: Path) -> None:
    with pytest.raises(InteractionError, match="no such file"):
        imported(tmp_path / "no.csv")


def test_a_failed_import_leaves_the_earlier_file(tmp_path: Path) -> None:
    source = write(tmp_path, "user,item,time\nu,i,2026-05-30\n")
    before = imported(source)
    source.write_text("user,item,time\nu,i,never\n", encoding="utf-8")
    with pytest.raises(InteractionError):
        imported(source)
    assert pl.read_parquet(tmp_path / "out.parquet").equals(before)


def test_a_night_reads_what_was_imported(tmp_path: Path) -> None:
    source = write(tmp_path, "user,item,time\n1,7.0,1780142400000\n")
    imported(source)
    items = pl.DataFrame({"item_id": ["7"]})
    rows, problems = load_interactions(tmp_path / "out.parquet", Catalogue(items, None))
    assert rows.rows() == [("1", "7", NOON)]
    assert problems == []


def test_recommendations_are_imported_in_the_same_way(tmp_path: Path) -> None:
    source = write(tmp_path, "uid,asin,Score\n1,7.0,0.5\n1,8,nan\n1,7,0.5\n1,9,1e3\n")
    result = import_recommendations(str(source), tmp_path / "top.parquet", RecommendationColumns())
    assert pl.read_parquet(result.path).rows() == [("1", "9", 1000.0), ("1", "7", 0.5)]
    assert (result.duplicates, result.faults[0].rows) == (1, 1)
    source.write_text("uid,asin\n1,7\n", encoding="utf-8")
    with pytest.raises(PlanError, match="no column holds the score"):
        import_recommendations(str(source), tmp_path / "top.parquet", RecommendationColumns())


_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=12
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ids=st.lists(_TEXT, min_size=1, max_size=8, unique=True))
def test_any_text_id_survives_csv(tmp_path: Path, ids: list[str]) -> None:
    path = tmp_path / "events.csv"
    pl.DataFrame({"user": ids, "item": ids, "time": NOON}).write_csv(path, quote_style="always")
    words = {"NaN", "nan", "NaT", "null", "NULL", "None", "<NA>", "\\N"}
    kept = {text for text in ids if text not in words}
    if not kept:
        return
    rows = imported(path)
    plain = {text.removesuffix(".0") if text[:-2].isdecimal() else text for text in kept}
    assert set(rows["user_id"]) == plain


@pytest.mark.parametrize(
    ("kind", "written", "expected"),
    [
        ("UUID", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
        ("HUGEINT", "170141183460469231731687303715884105727", None),
        ("UBIGINT", "18446744073709551615", "18446744073709551615"),
        ("DECIMAL(38, 0)", "12345678901234567890123456789012345678", None),
        ("TINYINT", "-7", "-7"),
        ("BOOLEAN", "true", "true"),
        ("DATE", "2026-05-30", "2026-05-30"),
        ("VARCHAR", "ünï \U0001f4a1", "ünï \U0001f4a1"),
    ],
)
def test_ids_of_database_types_become_texts(
    tmp_path: Path, kind: str, written: str, expected: str | None
) -> None:
    database = tmp_path / "shop.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute(f'CREATE TABLE events ("user" {kind}, item {kind}, "time" TIMESTAMP)')
        row = (written, written, NOON.replace(tzinfo=None))
        connection.execute("INSERT INTO events VALUES (?, ?, ?)", row)
    out = tmp_path / "out.parquet"
    import_interactions("FROM events", out, InteractionColumns(database=database))
    [(user, item, moment)] = pl.read_parquet(out).rows()
    assert (user, item, moment) == (expected or written, expected or written, NOON)


@pytest.mark.parametrize(
    "kind", ["INTEGER[]", "STRUCT(a INTEGER)", "BLOB", "MAP(VARCHAR, INTEGER)"]
)
def test_a_column_that_holds_no_ids_is_refused(tmp_path: Path, kind: str) -> None:
    database = tmp_path / "shop.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute(f'CREATE TABLE events ("user" {kind}, item INTEGER, "time" TIMESTAMP)')
    with pytest.raises(InteractionError, match=r"'user' holds .*, not ids"):
        import_interactions(
            "FROM events", tmp_path / "out.parquet", InteractionColumns(database=database)
        )


@pytest.mark.parametrize(
    ("names", "time"),
    [
        ("customerId,productId,clickedAt", "clickedAt"),
        ("user,item,order date,format,combat", "order date"),
        ("user,item,viewed_on", "viewed_on"),
        ("user,item,started_at,ended_at,time", "time"),
    ],
)
def test_a_time_is_found_by_the_end_of_its_name(tmp_path: Path, names: str, time: str) -> None:
    values = ",".join("2026-05-30" for _ in names.split(",")[2:])
    source = write(tmp_path, f"{names}\n1,2,{values}\n")
    result = import_interactions(str(source), tmp_path / "out.parquet", InteractionColumns())
    assert result.columns["time"] == time


def test_one_of_several_times_must_be_named(tmp_path: Path) -> None:
    source = write(tmp_path, "user,item,started_at,ended_at\n1,2,2026-05-30,2026-05-31\n")
    with pytest.raises(InteractionError, match="no column holds the time"):
        import_interactions(str(source), tmp_path / "out.parquet", InteractionColumns())
