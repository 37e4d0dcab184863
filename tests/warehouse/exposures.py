"""Exposures for the tests: rows as an import reads them, and adding them to a folder."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pigeon_rec.warehouse import merge_exposures, open_feedback
from pigeon_rec.warehouse.feedback import TASTES, Merged

SCHEMA = pl.Schema(
    {
        "row": pl.Int64(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "asset_key": pl.String(),
        "arm": pl.String(),
        "propensity": pl.Float64(),
        "shown_at": pl.Datetime("us", "UTC"),
        "clicked": pl.Boolean(),
        "taste": pl.String(),
        "cohort": pl.String(),
    }
)
NOON = dt.datetime(2026, 6, 3, 12, tzinfo=dt.UTC)


def exposures_of(user: str, clicked: Sequence[bool], **facts: object) -> pl.DataFrame:
    """A row per click or no click of one user, a minute apart; `facts` replaces columns."""
    rows = [
        {
            "user_id": user,
            "item_id": "noto/apple",
            "arm": "personalised",
            "propensity": 0.5,
            "shown_at": NOON + dt.timedelta(minutes=place),
            "clicked": click,
            **facts,
        }
        for place, click in enumerate(clicked)
    ]
    return numbered(pl.DataFrame(rows))


def numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in the schema of an import, with their numbers."""
    given = rows.drop("row", strict=False).with_row_index("row", offset=1)
    missing = [pl.lit(None, kind).alias(n) for n, kind in SCHEMA.items() if n not in given.columns]
    return given.with_columns(missing).select(SCHEMA.names()).cast(SCHEMA)


def add_exposures(folder: Path, rows: pl.DataFrame, tastes: pl.DataFrame | None = None) -> Merged:
    """Adds rows to the exposures of a folder with a warehouse and its serving link."""
    file = folder / "rows.tmp"
    rows.write_parquet(file)
    known = pl.DataFrame(schema=TASTES) if tastes is None else tastes
    with open_feedback(folder / "feedback.duckdb") as connection:
        merged = merge_exposures(connection, file, folder / "serving.duckdb", known)
    file.unlink()
    return merged


def stored(folder: Path) -> pl.DataFrame:
    """Every exposure, in a fixed order."""
    with open_feedback(folder / "feedback.duckdb") as connection:
        names = ", ".join(SCHEMA.names()[1:])
        table = connection.sql(f"SELECT {names} FROM exposures ORDER BY ALL").fetchall()
    return pl.DataFrame(table, schema=dict(list(SCHEMA.items())[1:]), orient="row")
