"""What planning asks of earlier nights: what was judged before a date, and what drawing took."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.warehouse._frames import fetch, registered, select
from pigeon_rec.warehouse.connection import driver_errors, open_reader
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["drawing_times", "judged_before"]

_TIMES: Final = pl.Schema(
    {
        "logical_date": pl.Date(),
        "model_version": pl.String(),
        "settings_hash": pl.String(),
        "assets": pl.Int64(),
        "seconds": pl.Float64(),
    }
)


def drawing_times(path: Path, *, before: dt.date) -> pl.DataFrame:
    """What drawing took in each night before a date, by date.

    Args:
        path: The warehouse; a missing one, or one of an older schema, has measured nothing.
        before: Nights of this date and later are left out.

    Returns:
        `logical_date, model_version, settings_hash, assets, seconds`, the last two summed over the
        shards that the night drew.

    Raises:
        WarehouseError: The file cannot be read.
    """
    if not path.exists():
        return pl.DataFrame(schema=_TIMES)
    with open_reader(path) as connection, driver_errors(path):
        [(measured,)] = fetch(connection, sql_text("plan/has_drawing_times"))
        if not measured:
            return pl.DataFrame(schema=_TIMES)
        times = select(connection, sql_text("plan/drawing_times"), {"before": before})
    return times.select(pl.col(name).cast(kind) for name, kind in _TIMES.items())


def judged_before(
    connection: DuckDBPyConnection, asset_keys: Sequence[str], before: dt.date
) -> pl.Series:
    """Which keys a night before a date had drawn or refused.

    Raises:
        WarehouseError: The warehouse cannot be read.
    """
    wanted = pl.DataFrame({"asset_key": asset_keys}, schema={"asset_key": pl.String}).unique()
    with driver_errors("judged keys"), registered(connection, wanted_keys=wanted):
        return select(connection, sql_text("plan/judged_before"), {"before": before})["asset_key"]
