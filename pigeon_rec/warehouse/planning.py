"""What planning reads of earlier nights: whether there are any, refusals, times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.warehouse._frames import fetch, registered, select
from pigeon_rec.warehouse.connection import driver_errors, is_missing, open_reader
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["ATTEMPT_DAYS", "drawing_times", "has_nights", "refused_before"]

ATTEMPT_DAYS: Final = 30
"""Days in which failed attempts to draw a request are counted."""

_REFUSED: Final = dict.fromkeys(("asset_key", "reason", "detail", "cause"), pl.String())
_TIMES: Final = pl.Schema(
    {
        "logical_date": pl.Date(),
        "model_version": pl.String(),
        "settings_hash": pl.String(),
        "assets": pl.Int64(),
        "seconds": pl.Float64(),
    }
)


def has_nights(path: Path) -> bool:
    """Returns whether any night has been published; a missing warehouse has none.

    Raises:
        WarehouseError: The file cannot be read.
    """
    if is_missing(path):
        return False
    with open_reader(path) as connection, driver_errors(path):
        [(found,)] = fetch(connection, sql_text("plan/has_nights"))
    return bool(found)


def drawing_times(path: Path, *, before: dt.date) -> pl.DataFrame:
    """Returns the time spent on drawing in each night before a date, by date.

    Returns:
        `logical_date, model_version, settings_hash, assets, seconds`, the last two summed over
        shards. A missing warehouse, or one of an older schema, gives no rows.

    Raises:
        WarehouseError: The file cannot be read.
    """
    if is_missing(path):
        return pl.DataFrame(schema=_TIMES)
    with open_reader(path) as connection, driver_errors(path):
        [(found,)] = fetch(connection, sql_text("plan/has_drawing_times"))
        if not found:
            return pl.DataFrame(schema=_TIMES)
        times = select(connection, sql_text("plan/drawing_times"), {"before": before})
    return times.select(pl.col(name).cast(kind) for name, kind in _TIMES.items())


def refused_before(
    path: Path, asset_keys: Sequence[str], *, before: dt.date, max_attempts: int
) -> pl.DataFrame:
    """Looks up the keys that earlier nights could not serve and that need not be drawn again.

    Returns:
        `asset_key, reason, detail, cause`, one row per such key. The reason is `known_refusal` if
        the quality gate refused it, or `repeated_failure` if drawing it failed in `max_attempts`
        nights of the last `ATTEMPT_DAYS` days; `cause` is the reason of the newest such night. A
        missing warehouse gives no rows.

    Raises:
        WarehouseError: The file cannot be read.
    """
    if is_missing(path):
        return pl.DataFrame(schema=_REFUSED)
    wanted = pl.DataFrame({"asset_key": asset_keys}, schema={"asset_key": pl.String}).unique()
    facts = {
        "before": before,
        "failures": sorted(FAILURES),
        "days": ATTEMPT_DAYS,
        "attempts": max_attempts,
    }
    with (
        open_reader(path) as connection,
        driver_errors(path),
        registered(connection, wanted_keys=wanted),
    ):
        return select(connection, sql_text("plan/refused_before"), facts)
