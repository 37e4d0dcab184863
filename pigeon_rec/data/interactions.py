"""Interactions of users with items: RecBole atomic files (`*.inter`) or parquet.

A malformed row is an error that names file and row. Interactions with items that are not in the
catalogue are left out and reported as `Problem`s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import polars as pl

from pigeon_rec.data._rows import LAST_SECOND, refuse, row_location
from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.data.world import WORLDS, load_world
from pigeon_rec.errors import InteractionError

__all__ = ["INTERACTION_SCHEMA", "load_interactions"]

INTERACTION_SCHEMA = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Datetime("us", "UTC")}
)
_ATOMIC_HEADERS: Mapping[str, str] = MappingProxyType(
    {"user_id": "user_id:token", "item_id": "item_id:token", "timestamp": "timestamp:float"}
)


def load_interactions(
    source: str | Path, catalogue: Catalogue, *, until: datetime | None = None
) -> tuple[pl.DataFrame, list[Problem]]:
    """Reads and checks interactions.

    Args:
        source: `bundled` for the simulated users, a RecBole `*.inter` (tab-separated, header
            `name:type`, timestamps in seconds since 1970) or a parquet file.
        catalogue: The items that are known.
        until: Reads interactions before this time (with a time zone) only; `None` reads all.

    Returns:
        `INTERACTION_SCHEMA`, sorted by user, time and item; and one `Problem` of kind
        `unknown_item` for each id that is not in the catalogue, naming its first row.

    Raises:
        InteractionError: The file cannot be read, a column is missing or of another type, or an
            id or a timestamp is null or out of range; the message names file and row.
    """
    if until is not None and until.tzinfo is None:
        raise InteractionError(f"until = {until} has no time zone", remedy="Give it in UTC")
    path = load_world(str(source)).interactions if source in WORLDS else Path(source)
    atomic = path.suffix == ".inter"
    rows = (_read_atomic(path) if atomic else _read_parquet(path)).with_row_index("row", offset=1)
    if atomic:  # blank lines count, but hold nothing
        rows = rows.filter(~pl.all_horizontal(pl.col(INTERACTION_SCHEMA.names()).is_null()))
    rows = _checked(rows, path)
    if until is not None:
        rows = rows.filter(pl.col("timestamp") < until)
    known = pl.col("item_id").is_in(catalogue.items["item_id"].implode())
    problems = _unknown(rows.filter(~known), path)
    kept = rows.filter(known).select(INTERACTION_SCHEMA.names())
    return kept.sort("user_id", "timestamp", "item_id"), problems


def _read_atomic(path: Path) -> pl.DataFrame:
    try:
        # All text and no quoting, as in RecBole; types are checked row by row below.
        rows = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    for name, header in _ATOMIC_HEADERS.items():
        given = [column for column in rows.columns if column.split(":")[0] == name]
        if given != [header]:
            raise InteractionError(
                f"the header has {', '.join(given) or 'nothing'} for {name}, not {header}",
                location=f"{path}, line 1",
                remedy="An atomic file starts with tab-separated name:type fields",
            )
    return rows.select(pl.col(header).alias(name) for name, header in _ATOMIC_HEADERS.items())


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    missing = [name for name in INTERACTION_SCHEMA if name not in rows.columns]
    if missing:
        raise InteractionError(f"columns are missing: {', '.join(missing)}", location=str(path))
    rows = rows.select(INTERACTION_SCHEMA.names())
    for name in ("user_id", "item_id"):
        if rows.schema[name] != pl.String():
            raise InteractionError(
                f"column {name} holds {rows.schema[name]}, not strings",
                location=str(path),
                remedy="Ids are strings: cast the column",
            )
    return rows


def _checked(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    def check(fault: pl.Expr, what: str) -> None:
        refuse(rows, fault, what, path, InteractionError)

    for name in ("user_id", "item_id"):
        check(pl.col(name).fill_null("") == "", f"{name} is empty")
    kind = rows.schema["timestamp"]
    if isinstance(kind, pl.Datetime):
        check(pl.col("timestamp").is_null(), "timestamp is null")
        zoned = pl.col("timestamp").cast(pl.Datetime("us", kind.time_zone))
        if kind.time_zone is None:
            zoned = zoned.dt.replace_time_zone("UTC")
        return rows.with_columns(zoned.dt.convert_time_zone("UTC"))
    if not (kind.is_numeric() or kind == pl.String()):
        raise InteractionError(f"column timestamp holds {kind}, not a time", location=str(path))
    seconds = pl.col("timestamp").cast(pl.Float64, strict=False)
    usable = seconds.is_between(0, LAST_SECOND).fill_null(value=False)
    check(~usable, "timestamp is not in seconds since 1970")
    micros = (seconds * 1e6).round().cast(pl.Int64)
    return rows.with_columns(timestamp=micros.cast(pl.Datetime("us", "UTC")))


def _unknown(rows: pl.DataFrame, path: Path) -> list[Problem]:
    by_id = rows.group_by("item_id").agg(pl.col("row").min(), pl.len().alias("count")).sort("row")
    return [
        Problem(
            kind="unknown_item",
            subject=item_id,
            location=row_location(path, row),
            message=f"item {item_id!r} is not in the catalogue; its interactions are left out "
            f"({count})",
        )
        for item_id, row, count in by_id.iter_rows()
    ]


def _unreadable(path: Path, error: Exception) -> InteractionError:
    return InteractionError(
        f"cannot read the interactions: {error}",
        location=str(path),
        remedy="Give a RecBole .inter file, a parquet file, or `bundled`",
    )
