from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import known_assets, open_warehouse, publish
from tests.warehouse.nights import FIRST, SECOND, file_hash, key_of, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")
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
