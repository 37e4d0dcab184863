"""The table of exposures: merging, one transaction, retention, and who reads it."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.warehouse import (
    AssetReader,
    WarehouseBusyError,
    answer,
    ask,
    collect_garbage,
    feedback,
    open_feedback,
    open_warehouse,
    promote,
    publish,
    query,
    retain_exposures,
)
from pigeon_rec.warehouse.sql_files import sql_text
from tests.warehouse.exposures import NOON, add_exposures, exposures_of, numbered, stored
from tests.warehouse.nights import FIRST, SECOND, file_hash, key_of, night_of

ANN, BEN = ("ann", "noto/apple"), ("ben", "noto/pear")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A promoted night with pictures of two users."""
    with open_warehouse(tmp_path / "pigeon.duckdb") as connection:
        publish(connection, night_of([ANN, BEN]))
    promote(tmp_path / "pigeon.duckdb", tmp_path / "serving.duckdb")
    return tmp_path


def test_the_same_rows_twice_change_nothing(folder: Path) -> None:
    rows = exposures_of("ann", [True, False, False], asset_key=key_of(ANN))
    first = add_exposures(folder, rows).counts
    assert (first["added"], first["known"], first["duplicates"]) == (3, 0, 0)
    before = stored(folder)
    again = add_exposures(folder, pl.concat([rows, rows])).counts
    assert (again["added"], again["updated"], again["known"], again["duplicates"]) == (0, 0, 3, 3)
    assert stored(folder).equals(before)


def test_a_click_that_arrives_later_counts(folder: Path) -> None:
    add_exposures(folder, exposures_of("ann", [False, False]))
    counts = add_exposures(folder, exposures_of("ann", [True, False])).counts
    assert (counts["added"], counts["updated"], counts["known"]) == (0, 1, 1)
    assert stored(folder)["clicked"].to_list() == [True, False]
    add_exposures(folder, exposures_of("ann", [False, False]))
    assert stored(folder)["clicked"].to_list() == [True, False]


def test_contradictions_are_counted_and_one_row_is_kept(folder: Path) -> None:
    rows = [
        exposures_of("ann", [False], arm="personalised", propensity=0.7),
        exposures_of("ann", [True], arm="original", propensity=0.3),
    ]
    assert add_exposures(folder, pl.concat(rows)).counts["contradictory"] == 1
    expected = [("original", 0.3, True)]
    assert stored(folder).select("arm", "propensity", "clicked").rows() == expected
    later = add_exposures(folder, exposures_of("ann", [False], arm="personalised")).counts
    assert (later["contradictory"], later["known"]) == (1, 1)
    assert stored(folder).select("arm", "propensity", "clicked").rows() == expected


def test_pictures_must_be_known_and_of_the_item(folder: Path) -> None:
    rows = [
        exposures_of("ann", [True], asset_key=key_of(ANN)),
        exposures_of("ben", [True], asset_key=key_of(BEN)),
        exposures_of("cat", [True], asset_key="no-such-key"),
    ]
    merged = add_exposures(folder, numbered(pl.concat(rows)))
    of_pear = f"user=ben, item=noto/apple, asset={key_of(BEN)}"
    assert merged.faults == (
        ("the asset is a picture of another item", 1, 2, of_pear),
        ("the asset key is unknown", 1, 3, "user=cat, item=noto/apple, asset=no-such-key"),
    )
    assert stored(folder)["user_id"].to_list() == ["ann"]


def test_a_key_stays_known_when_its_night_has_gone(folder: Path) -> None:
    rows = exposures_of("ann", [True], asset_key=key_of(ANN))
    add_exposures(folder, rows)
    (folder / "serving.duckdb").unlink()
    merged = add_exposures(folder, rows)
    assert (merged.faults, merged.counts["known"]) == ((), 1)


def test_the_cohort_is_that_of_the_newest_night_up_to_the_day(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "pigeon.duckdb") as connection:
        for date, cohort in ((FIRST, "cohort:1"), (SECOND, "cohort:2")):
            publish(connection, night_of([ANN], date=date, version=cohort))
            values = {"run": date.isoformat(), "cohort": cohort}
            connection.execute("INSERT INTO cohorts VALUES ($run, 'ann', $cohort)", values)
    promote(tmp_path / "pigeon.duckdb", tmp_path / "serving.duckdb")
    days = [FIRST - dt.timedelta(days=1), FIRST, SECOND, SECOND + dt.timedelta(days=9)]
    shown = [dt.datetime.combine(day, dt.time(23, 59), dt.UTC) for day in days]
    rows = pl.concat([exposures_of("ann", [False], shown_at=time) for time in shown])
    given_one = exposures_of("ann", [False], cohort="mine", shown_at=NOON)
    add_exposures(tmp_path, numbered(pl.concat([rows, given_one])))
    found = stored(tmp_path).sort("shown_at")["cohort"].to_list()
    assert found == [None, "cohort:1", "cohort:2", "mine", "cohort:2"]


def test_tastes_are_filled_in_once(folder: Path) -> None:
    rows = exposures_of("ann", [True])
    tastes = [pl.DataFrame({"user_id": ["ann"], "taste": [name]}) for name in ("noto", "fluent")]
    add_exposures(folder, rows)
    counts = [add_exposures(folder, rows, taste).counts for taste in tastes]
    assert [(c["updated"], c["known"]) for c in counts] == [(1, 0), (0, 1)]
    assert stored(folder)["taste"].to_list() == ["noto"]


facts = st.fixed_dictionaries(
    {
        "user": st.sampled_from(["ann", "ben"]),
        "minute": st.integers(0, 2),
        "arm": st.sampled_from(["original", "personalised"]),
        "propensity": st.sampled_from([0.25, 0.5]),
        "clicked": st.booleans(),
    }
)


def rows_of(drawn: list[dict[str, Any]]) -> pl.DataFrame:
    made = [
        exposures_of(
            row["user"],
            [row["clicked"]],
            arm=row["arm"],
            propensity=row["propensity"],
            taste=f"taste of {row['user']}",
            shown_at=NOON + dt.timedelta(minutes=row["minute"]),
        )
        for row in drawn
    ]
    return numbered(pl.concat(made))


@settings(max_examples=25)
@given(
    st.lists(facts, min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.integers(0, 12),
)
def test_order_of_rows_and_parts_do_not_count(
    drawn: list[dict[str, Any]], random: Any, cut: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        whole, parts = Path(name) / "whole", Path(name) / "parts"
        whole.mkdir()
        parts.mkdir()
        add_exposures(whole, rows_of(drawn))
        random.shuffle(drawn)
        for part in (drawn[:cut], drawn[cut:], drawn[: cut // 2]):
            if part:
                add_exposures(parts, rows_of(part))
        assert stored(parts).equals(stored(whole))
        keys = {(row["user"], row["minute"]) for row in drawn}
        assert stored(whole).height == len(keys)


def test_an_import_is_whole_or_not_at_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_exposures(folder, exposures_of("ann", [True]))
    before = stored(folder)
    whole = sql_text("feedback/merge")
    monkeypatch.setattr(
        feedback,
        "sql_text",
        lambda name: whole + "SELECT no_such();" if name == "feedback/merge" else sql_text(name),
    )
    with pytest.raises(WarehouseError, match="no_such"):
        add_exposures(folder, exposures_of("ben", [True, False]))
    monkeypatch.undo()
    assert stored(folder).equals(before)


def test_readers_and_writers_of_nights_are_not_affected(folder: Path) -> None:
    link, snapshot = folder / "serving.duckdb", (folder / "serving.duckdb").resolve()
    before = file_hash(snapshot)
    with AssetReader(link) as reader:
        add_exposures(folder, exposures_of("ann", [True], asset_key=key_of(ANN)))
        assert reader.get(*ANN) is not None
        # While exposures are written, a night is published, promoted and served.
        with open_feedback(folder / "feedback.duckdb") as connection:
            connection.begin()
            connection.execute("DELETE FROM exposures")
            with open_warehouse(folder / "pigeon.duckdb") as nights:
                publish(nights, night_of([], date=SECOND, reused=[ANN]))
            promote(folder / "pigeon.duckdb", link)
            served = reader.get(*ANN)
            assert served is not None
            assert served.run_id == SECOND.isoformat()
    assert file_hash(snapshot) == before
    with duckdb.connect(str(link.resolve()), read_only=True) as client:
        names = [
            name for (name,) in client.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        ]
    assert "exposures" not in names


def test_queries_join_exposures_with_what_is_served(folder: Path) -> None:
    add_exposures(folder, exposures_of("ann", [True, False], asset_key=key_of(ANN)))
    text = (
        "SELECT served.user_id, count(*) FILTER (clicked), count(*) FROM served_assets AS served "
        "JOIN Exposures AS shown USING (asset_key) WHERE arm = $arm GROUP BY ALL"
    )
    found = answer(folder / "serving.duckdb", text, {"arm": "personalised"})
    assert found[1] == [("ann", 1, 2)]
    snapshot = (folder / "serving.duckdb").resolve()
    assert ask(snapshot, "FROM exposures").height == 2


def test_exposures_can_only_be_read(folder: Path) -> None:
    add_exposures(folder, exposures_of("ann", [True]))
    link = folder / "serving.duckdb"
    for text in ("DELETE FROM exposures", "DELETE FROM feedback.exposures", "DROP VIEW exposures"):
        with pytest.raises(WarehouseError, match="read-only"):
            answer(link, text)
    with pytest.raises(WarehouseError):
        answer(link, f"SELECT * FROM exposures, read_text('{folder}/feedback.duckdb')")
    assert stored(folder).height == 1


def test_a_query_without_exposures_says_how_to_import_them(folder: Path) -> None:
    link = folder / "serving.duckdb"
    for ask_for in ("SELECT * FROM exposures", "policy_value"):
        with pytest.raises(WarehouseError, match="pigeon-rec import exposures FILE"):
            answer(link, ask_for, {"policy": "original"} if ask_for == "policy_value" else {})
    with pytest.raises(WarehouseError, match="there are no exposures"):
        query(link, "ab_lift", {"treatment": "a", "control": "b"})
    assert answer(link, "SELECT 'exposures' AS exposures")[1] == [("exposures",)]


def test_exposures_open_elsewhere_are_busy(folder: Path) -> None:
    with open_feedback(folder / "feedback.duckdb"), pytest.raises(WarehouseBusyError):
        answer(folder / "serving.duckdb", "FROM exposures")


def test_a_foreign_file_is_refused(folder: Path) -> None:
    with duckdb.connect(str(folder / "feedback.duckdb")) as connection:
        connection.execute("CREATE TABLE sales AS SELECT 1 AS a")
    with pytest.raises(WarehouseError, match="not a pigeon_rec warehouse"):
        add_exposures(folder, exposures_of("ann", [True]))


def test_old_exposures_are_removed_with_their_nights(folder: Path) -> None:
    days = [FIRST - dt.timedelta(days=n) for n in (0, 1, 2)]
    for day in days:
        midnight = dt.datetime.combine(day, dt.time(), dt.UTC)
        add_exposures(folder, exposures_of("ann", [True], shown_at=midnight))
    path = folder / "feedback.duckdb"
    with open_warehouse(folder / "pigeon.duckdb") as warehouse:
        future = dt.date(2226, 6, 9)
        publish(warehouse, night_of([("cat", "noto/pear")], date=future, version="later"))
        assert retain_exposures(path, warehouse, 2) == 0
        assert retain_exposures(path, warehouse, 4_000_000) == 0
        assert retain_exposures(path, warehouse, 1) == 1
        assert retain_exposures(folder / "no.duckdb", warehouse, 0) == 0
        with pytest.raises(ConfigError, match="received -1"):
            retain_exposures(path, warehouse, -1)
    assert [time.date() for time in stored(folder)["shown_at"]] == days[1::-1]


def test_freed_space_is_given_back(folder: Path) -> None:
    add_exposures(folder, exposures_of("ann", [True, False]))
    before = stored(folder)
    with open_feedback(folder / "feedback.duckdb") as connection:
        connection.execute(
            "INSERT INTO exposures SELECT md5(range::VARCHAR), md5(range::VARCHAR || 'item'), "
            "now(), NULL, 'original', 0.5, false, NULL, NULL FROM range(100000)"
        )
    with open_feedback(folder / "feedback.duckdb") as connection:
        connection.execute("DELETE FROM exposures WHERE user_id <> 'ann'")
    size = (folder / "feedback.duckdb").stat().st_size
    collected = collect_garbage(folder / "pigeon.duckdb", folder / "serving.duckdb")
    assert collected.file_bytes >= size - (folder / "feedback.duckdb").stat().st_size > 0
    assert stored(folder).equals(before)
