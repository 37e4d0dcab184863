"""Cohorts, plans and drawing times in the warehouse, and what `asset_for` answers."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from duckdb import DuckDBPyConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import (
    NIGHT_SCHEMAS,
    AssetReader,
    NightRecords,
    check_warehouse,
    migrate,
    open_warehouse,
    publish,
    retain,
    sql_root,
)
from pigeon_rec.warehouse._frames import registered, select
from pigeon_rec.warehouse.connection import connect
from pigeon_rec.warehouse.planning import drawing_times
from tests.warehouse.nights import FIRST, SECOND, Pair, key_of, night_of

USERS = ("ann", "ben", "cat")
ITEMS = ("a", "b", "c")
SHARED: Pair = ("cohort:0", "b")


def frame(name: str, rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=NIGHT_SCHEMAS[name], orient="row")


def with_plan(night: NightRecords, seconds: float = 4.0) -> NightRecords:
    """Ann and Ben are in the cohort, Cat has no taste yet; `a` and `b` are recommended to all."""
    pairs = [
        (user, item, rank, -1.0 * rank, 1.0 / rank, None if user == "cat" else 0.5, reason, None)
        for user in USERS
        for rank, (item, reason) in enumerate([("a", "planned"), ("b", "over_budget")], start=1)
    ]
    return dataclasses.replace(
        night,
        cohorts=frame("cohorts", [("ann", "cohort:0"), ("ben", "cohort:0")]),
        plan_pairs=frame("plan_pairs", pairs),
        originals=frame(
            "originals", [(item, f"images/{item}.png", f"sha-{item}") for item in "ab"]
        ),
        drawing_times=frame("drawing_times", [(0, 2, seconds), (1, 4, 2.0)]),
    )


NIGHT = with_plan(night_of([("ann", "a"), ("ann", "b"), SHARED], rejected=[("ben", "a")]))
"""Ann has her own `a` and `b`; Ben's `a` was rejected; the cohort has `b`."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBPyConnection]:
    """A warehouse with `NIGHT`, only read by its tests."""
    with open_warehouse(tmp_path_factory.mktemp("planned") / "pigeon.duckdb") as connection:
        publish(connection, NIGHT)
        yield connection


def answer(connection: DuckDBPyConnection, user: str | None, item: str | None) -> dict[str, object]:
    pair = {"user": user, "item": item}
    [row] = select(connection, "FROM asset_for($user, $item)", pair).to_dicts()
    return dict(row)


def explained(connection: DuckDBPyConnection, user: str) -> list[tuple[object, ...]]:
    columns = "item_id, decision, reason, cohort, asset_key"
    sql = f"SELECT {columns} FROM plan_explain($user)"
    return select(connection, sql, {"user": user}).rows()


@pytest.mark.parametrize(
    ("user", "item", "origin", "cohort"),
    [
        ("ann", "a", "own", None),
        ("ann", "b", "own", None),
        ("ben", "a", "original", None),
        ("ben", "b", "cohort", "cohort:0"),
        ("cat", "b", "original", None),
        ("nobody", "b", "original", None),
        ("ann", "nothing", "unknown", None),
        ("nobody", "nothing", "unknown", None),
        (None, "a", "original", None),
        (None, None, "unknown", None),
    ],
)
def test_every_lookup_has_one_answer(
    planned: DuckDBPyConnection, user: str | None, item: str | None, origin: str, cohort: str | None
) -> None:
    found = answer(planned, user, item)
    assert (found["user_id"], found["item_id"]) == (user, item)
    assert (found["origin"], found["cohort"]) == (origin, cohort)
    if origin in ("own", "cohort"):
        assert found["asset_key"] == key_of((cohort or str(user), str(item)))
        assert found["image"] is not None
        assert found["image_uri"] is None
        assert found["run_id"] == "2026-06-01"
    else:
        known = origin == "original"
        assert found["image_uri"] == (f"images/{item}.png" if known else None)
        assert found["image_sha256"] == (f"sha-{item}" if known else None)
        assert all(found[name] is None for name in ("image", "asset_key", "score", "run_id"))


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from([*USERS, "cohort:0", "x"]), st.sampled_from([*ITEMS, "x"])),
        max_size=30,
    )
)
def test_many_lookups_give_the_answers_of_single_ones(
    planned: DuckDBPyConnection, pairs: list[Pair]
) -> None:
    wanted = pl.DataFrame(pairs, schema={"user_id": pl.String, "item_id": pl.String}, orient="row")
    with registered(planned, wanted=wanted.with_row_index("place")):
        rows = select(
            planned,
            "SELECT found.* FROM wanted, "
            "LATERAL asset_for(wanted.user_id, wanted.item_id) AS found ORDER BY wanted.place",
        )
    assert rows.to_dicts() == [answer(planned, *pair) for pair in pairs]


@pytest.mark.parametrize("user", [*USERS, "nobody", "cohort:0"])
def test_the_pictures_of_a_user_are_those_that_asset_for_gives(
    planned: DuckDBPyConnection, user: str
) -> None:
    listed = select(planned, "FROM assets_for_user($user)", {"user": user})
    single = [answer(planned, user, item) for item in ITEMS]
    pictures = [found for found in single if found["origin"] in ("own", "cohort")]
    assert listed.sort("item_id").to_dicts() == pictures
    assert listed.columns == list(single[0])


def test_readers_get_the_address_of_an_original_and_no_bytes(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "pigeon.duckdb") as connection:
        publish(connection, NIGHT, images=(tmp_path / "pictures").as_uri())
    with AssetReader(tmp_path / "pigeon.duckdb") as reader:
        rows = reader.get_many([("ben", "b"), ("ben", "a"), ("ben", "x")], fetch=True)
        original = reader.get("ben", "a")
        assert reader.get("ben", "b").read() == rows["image"][0]  # type: ignore[union-attr]
    assert rows["origin"].to_list() == ["cohort", "original", "unknown"]
    assert rows["image"].is_null().to_list() == [False, True, True]
    assert original is not None
    assert (original.origin, original.image_uri) == ("original", "images/a.png")
    with pytest.raises(WarehouseError, match="only the original") as caught:
        original.read()
    assert "images/a.png" in str(caught.value)


def test_the_explained_plan_agrees_with_what_is_served(planned: DuckDBPyConnection) -> None:
    assert explained(planned, "ann") == [
        ("a", "generated", "planned", "cohort:0", key_of(("ann", "a"))),
        ("b", "generated", "over_budget", "cohort:0", key_of(("ann", "b"))),
    ]
    assert explained(planned, "ben") == [
        ("a", "original", "blank", "cohort:0", None),
        ("b", "cohort", "over_budget", "cohort:0", key_of(SHARED)),
    ]
    assert [row[1] for row in explained(planned, "cat")] == ["original", "original"]
    assert explained(planned, "nobody") == []
    served = {"generated": "own", "reused": "own"}
    for user in USERS:
        for item, decision, *_, key in explained(planned, user):
            found = answer(planned, user, str(item))
            assert found["origin"] == served.get(str(decision), decision)
            assert found["asset_key"] == key
    [worth] = select(planned, "SELECT priority FROM plan_explain('ann') LIMIT 1").rows()
    assert worth == (0.5,)


def test_users_and_cohorts_are_counted_apart(planned: DuckDBPyConnection) -> None:
    counted = select(planned, "SELECT served, users, cohort_assets FROM asset_quality_daily")
    assert counted.rows() == [(3, 1, 1)]


def test_a_later_night_brings_its_own_cohorts_and_plan(writer_path: Path) -> None:
    later = with_plan(night_of([("cat", "a"), ("cohort:1", "a")], date=SECOND, version="v2"))
    moved = dataclasses.replace(
        later,
        cohorts=frame("cohorts", [("ben", "cohort:1")]),
        originals=frame("originals", [("a", "images/new.png", "sha-new"), ("c", "c.png", "sha-c")]),
    )
    with open_warehouse(writer_path) as connection:
        publish(connection, NIGHT)
        publish(connection, moved)
        assert answer(connection, "ben", "a")["asset_key"] == key_of(("cohort:1", "a"), "v2")
        assert answer(connection, "ben", "b")["origin"] == "unknown"
        assert answer(connection, "ann", "a")["image_uri"] == "images/new.png"
        assert answer(connection, "ann", "c")["image_sha256"] == "sha-c"
        kept = select(connection, "SELECT DISTINCT run_id FROM plan_pairs").rows()
        assert kept == [("2026-06-02",)]
        of_nights = select(connection, "SELECT run_id, count(*) FROM cohorts GROUP BY 1 ORDER BY 1")
        assert of_nights.rows() == [("2026-06-01", 2), ("2026-06-02", 1)]
        retain(connection, 0)
        assert select(connection, "SELECT DISTINCT run_id FROM cohorts").rows() == kept
    assert check_warehouse(writer_path).is_empty()


def test_publishing_a_past_night_does_not_change_what_readers_get(
    warehouse: DuckDBPyConnection,
) -> None:
    publish(warehouse, with_plan(night_of([("cat", "a")], date=SECOND, version="v2")))
    publish(warehouse, NIGHT)
    assert answer(warehouse, "ann", "a")["origin"] == "original"
    assert {row[1] for row in explained(warehouse, "cat")} == {"generated", "original"}


def test_cohorts_and_plan_are_part_of_the_content_hash(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, NIGHT)
    assert not publish(warehouse, NIGHT).changed
    assert not publish(warehouse, with_plan(NIGHT, seconds=99.0)).changed
    fewer = dataclasses.replace(NIGHT, cohorts=NIGHT.cohorts.head(1))
    assert publish(warehouse, fewer).changed
    assert answer(warehouse, "ben", "b")["origin"] == "original"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("cohorts", [("ann", "cohort:0"), ("ann", "cohort:1")]),
        ("originals", [("a", "x.png", "s"), ("a", "y.png", "s")]),
        ("drawing_times", [(0, 1, 1.0), (0, 1, 1.0)]),
    ],
)
def test_duplicate_rows_are_refused(
    warehouse: DuckDBPyConnection, name: str, rows: list[tuple[object, ...]]
) -> None:
    doubled: dict[str, Any] = {name: frame(name, rows)}
    twice = dataclasses.replace(NIGHT, **doubled)
    with pytest.raises(WarehouseError, match="occur more than once"):
        publish(warehouse, twice)


def test_the_first_drawing_time_is_kept(writer_path: Path) -> None:
    assert drawing_times(writer_path, before=SECOND).is_empty()
    with open_warehouse(writer_path) as connection:
        publish(connection, NIGHT)
        slower = dataclasses.replace(with_plan(NIGHT, seconds=99.0), planned=9)
        assert publish(connection, slower).changed
    [night] = drawing_times(writer_path, before=SECOND).to_dicts()
    assert (night["logical_date"], night["assets"], night["seconds"]) == (FIRST, 6, 6.0)
    assert (night["model_version"], night["settings_hash"]) == ("sticker-64@1", "5e77")
    assert drawing_times(writer_path, before=FIRST).is_empty()


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_older_files_are_brought_up_to_date(
    writer_path: Path, tmp_path: Path, version: int
) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    for file in sorted((sql_root() / "migrations").glob("*.sql"))[:version]:
        shutil.copy(file, folder)
    with connect(writer_path) as connection:
        migrate(connection, folder)
    assert drawing_times(writer_path, before=SECOND).is_empty()
    with open_warehouse(writer_path) as connection:
        assert answer(connection, "ann", "a")["origin"] == "unknown"
        publish(connection, NIGHT)
        assert answer(connection, "ben", "b")["origin"] == "cohort"
    assert check_warehouse(writer_path).is_empty()
