from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.warehouse import NightRecords, known_assets, open_warehouse, publish
from pigeon_rec.warehouse.planning import refused_before
from tests.warehouse.nights import FIRST, SECOND, file_hash, key_of, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")
THIRD = FIRST + dt.timedelta(days=2)
SCHEMA = {
    "asset_key": pl.String,
    "verdict": pl.String,
    "reason": pl.String,
    "detail": pl.String,
}


def test_a_missing_warehouse_knows_nothing(writer_path: Path) -> None:
    known = known_assets(writer_path, [key_of(ANN)])
    assert known.height == 0
    assert known.schema == SCHEMA
    assert not writer_path.parent.exists()


@pytest.mark.parametrize("wanted", [[], [key_of(ANN)]])
def test_an_empty_warehouse_knows_nothing(warehouse: DuckDBPyConnection, wanted: list[str]) -> None:
    known = known_assets(warehouse, wanted)
    assert known.height == 0
    assert known.schema == SCHEMA


def test_pictures_and_rejections_are_known(writer_path: Path) -> None:
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([ANN], rejected=[BEN]))
    before = file_hash(writer_path)
    wanted = [key_of(CAT), key_of(BEN), key_of(ANN), key_of(ANN), "'; DROP TABLE runs; --"]
    known = known_assets(writer_path, wanted)
    assert file_hash(writer_path) == before
    assert sorted(known.rows()) == sorted(
        [
            (key_of(ANN), "asset", None, None),
            (key_of(BEN), "rejection", "blank", "pixel deviation 0.1 is below 6.0"),
        ]
    )


@pytest.mark.parametrize("newest", [FIRST, SECOND])
def test_if_nights_disagree_the_newest_counts(
    warehouse: DuckDBPyConnection, newest: object
) -> None:
    older = SECOND if newest == FIRST else FIRST
    publish(warehouse, night_of([ANN], date=older))
    publish(warehouse, night_of([], date=FIRST if newest == FIRST else SECOND, rejected=[ANN]))
    verdict = known_assets(warehouse, [key_of(ANN)])["verdict"].to_list()
    assert verdict == (["rejection"] if newest == SECOND else ["asset"])


def test_a_damaged_file_raises(tmp_path: Path) -> None:
    path = tmp_path / "pigeon.duckdb"
    path.write_bytes(b"no database" * 500)
    with pytest.raises(WarehouseError, match="not a DuckDB file"):
        known_assets(path, ["a"])


def failing(pairs: list[tuple[str, str]], reason: str, date: dt.date = FIRST) -> NightRecords:
    night = night_of([], date=date, rejected=pairs)
    reasons = night.rejections.with_columns(reason=pl.lit(reason), detail=pl.lit("why"))
    return dataclasses.replace(night, rejections=reasons)


@pytest.mark.parametrize("reason", sorted(FAILURES))
def test_failures_are_no_verdicts(warehouse: DuckDBPyConnection, reason: str) -> None:
    publish(warehouse, failing([ANN, BEN], reason))
    assert known_assets(warehouse, [key_of(ANN), key_of(BEN)]).is_empty()
    publish(warehouse, night_of([ANN], date=SECOND))
    publish(warehouse, failing([ANN], reason, THIRD))
    assert known_assets(warehouse, [key_of(ANN)])["verdict"].to_list() == ["asset"]


def refused(
    warehouse: DuckDBPyConnection, before: dt.date, max_attempts: int = 2
) -> list[tuple[str, ...]]:
    """Closes the connection, because the look-up opens the file itself."""
    [(_, _, file)] = warehouse.execute("PRAGMA database_list").fetchall()
    warehouse.close()
    keys = [key_of(pair) for pair in (ANN, BEN, CAT)]
    found = refused_before(Path(file), keys, before=before, max_attempts=max_attempts)
    return found.select("reason", "detail", "cause").rows()


def test_a_refusal_of_an_earlier_night_is_known(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN], rejected=[BEN]))
    publish(warehouse, night_of([], date=THIRD, rejected=[CAT]))
    detail = "blank on 2026-06-01: pixel deviation 0.1 is below 6.0"
    assert refused(warehouse, SECOND) == [("known_refusal", detail, "blank")]


def test_the_night_itself_and_later_ones_do_not_count(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([ANN], rejected=[BEN]))
    assert refused(warehouse, FIRST) == []


def test_an_asset_of_a_newer_night_ends_a_refusal(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, night_of([], rejected=[BEN]))
    publish(warehouse, night_of([BEN], date=SECOND))
    assert refused(warehouse, THIRD) == []


def test_failures_are_refused_after_the_last_attempt_only(warehouse: DuckDBPyConnection) -> None:
    publish(warehouse, failing([ANN, BEN], "undecodable"))
    publish(warehouse, failing([ANN], "drawing_failed", SECOND))
    said = "failed in 2 nights of 30 days, drawing_failed on 2026-06-02: why"
    assert refused(warehouse, THIRD) == [("repeated_failure", said, "drawing_failed")]


@pytest.mark.parametrize(("days", "count"), [(30, 1), (31, 0)])
def test_old_failures_are_forgotten(warehouse: DuckDBPyConnection, days: int, count: int) -> None:
    publish(warehouse, failing([ANN], "undecodable"))
    publish(warehouse, failing([ANN], "undecodable", SECOND))
    assert len(refused(warehouse, FIRST + dt.timedelta(days=days))) == count


def test_a_missing_warehouse_refuses_nothing(writer_path: Path) -> None:
    known = refused_before(writer_path, ["a"], before=FIRST, max_attempts=1)
    assert known.is_empty()
    assert known.columns == ["asset_key", "reason", "detail", "cause"]
