"""Interactions of users with items: RecBole atomic files (`*.inter`) or parquet.

Malformed rows, and interactions with items that are not in the catalogue, are left out and reported
as `Problem`s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

import polars as pl

from pigeon_rec.data._rows import LAST_SECOND, first_fault, row_location
from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.data.world import WORLDS, load_world
from pigeon_rec.errors import InteractionError, may_pass
from pigeon_rec.runtime.files import read_parquet

__all__ = ["INTERACTION_SCHEMA", "LAST_SECOND", "load_interactions"]

INTERACTION_SCHEMA = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Datetime("us", "UTC")}
)
_ATOMIC_HEADERS: Mapping[str, str] = MappingProxyType(
    {"user_id": "user_id:token", "item_id": "item_id:token", "timestamp": "timestamp:float"}
)
_FAULT = first_fault(
    {
        "the line is not UTF-8 text or has too many fields": pl.col("torn"),
        "user_id is empty": pl.col("user_id").fill_null("") == "",
        "item_id is empty": pl.col("item_id").fill_null("") == "",
        "timestamp is not in seconds since 1970": pl.col("timestamp").is_null(),
    }
)


def load_interactions(
    source: str | Path, catalogue: Catalogue, *, until: datetime | None = None
) -> tuple[pl.DataFrame, list[Problem]]:
    """Reads and checks interactions.

    Args:
        source: `bundled` or `posters` for the simulated users of a world, a RecBole `*.inter`
            (tab-separated, header `name:type`, timestamps in seconds since 1970) or a parquet file.
        catalogue: The items that are known.
        until: Reads interactions before this time (with a time zone) only; `None` reads all.

    Returns:
        `INTERACTION_SCHEMA`, sorted by user, time and item; and, naming the first row, one
        `Problem` of kind `bad_interaction` for each user and fault (an empty id, a timestamp that
        is null or out of range) and one of kind `unknown_item` for each id that is not in the
        catalogue.

    Raises:
        InteractionError: The file cannot be read, a column is missing or of another type, or no
            row is usable.
    """
    if until is not None and until.tzinfo is None:
        raise InteractionError(f"until = {until} has no time zone", remedy="Give it in UTC")
    path = load_world(str(source)).interactions if source in WORLDS else Path(source)
    atomic = path.suffix == ".inter"
    rows = (_read_atomic(path) if atomic else _read_parquet(path)).with_row_index("row", offset=1)
    if atomic:  # blank lines count, but hold nothing
        rows = rows.filter(~pl.all_horizontal(pl.col(INTERACTION_SCHEMA.names()).is_null()))
    rows = rows.with_columns(_times(rows.schema["timestamp"], path)).with_columns(_FAULT)
    bad, usable = rows.drop_nulls("fault"), rows.filter(pl.col("fault").is_null())
    if usable.is_empty() and bad.height:
        raise InteractionError(
            f"none of the {bad.height} rows is usable; the first: {bad['fault'][0]}",
            location=row_location(path, bad["row"][0]),
        )
    if until is not None:
        usable = usable.filter(pl.col("timestamp") < until)
        bad = bad.filter((pl.col("timestamp") < until).fill_null(value=True))
    known = pl.col("item_id").is_in(catalogue.items["item_id"].implode())
    problems = [*_bad(bad, path), *_unknown(usable.filter(~known), path)]
    kept = usable.filter(known).select(INTERACTION_SCHEMA.names())
    return kept.sort("user_id", "timestamp", "item_id"), problems


def _read_atomic(path: Path) -> pl.DataFrame:
    try:
        # All text and no quoting, as in RecBole; types are checked row by row below.
        try:
            rows = pl.read_csv(
                path, separator="\t", quote_char=None, infer_schema=False, glob=False
            )
            torn: pl.Expr | pl.Series = pl.lit(value=False).alias("torn")
        except pl.exceptions.ComputeError:  # of some line; the others can still be read
            rows, torn = _read_lossy(path)
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
    named = (pl.col(header).alias(name) for name, header in _ATOMIC_HEADERS.items())
    return rows.select(*named, torn)


def _read_lossy(path: Path) -> tuple[pl.DataFrame, pl.Series]:
    """Returns the rows as far as they can be read, and which have bad bytes or too many fields."""
    read = partial(
        pl.read_csv,
        path,
        quote_char=None,
        infer_schema=False,
        glob=False,
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
    )
    rows, lines = read(separator="\t"), read(separator="\x1e").to_series().fill_null("")
    torn = lines.str.contains("\ufffd") | (lines.str.count_matches("\t") >= rows.width)
    return rows, torn.alias("torn")


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        rows = read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    missing = [name for name in INTERACTION_SCHEMA if name not in rows.columns]
    if missing:
        raise InteractionError(f"columns are missing: {', '.join(missing)}", location=str(path))
    rows = rows.select(*INTERACTION_SCHEMA.names(), pl.lit(value=False).alias("torn"))
    for name in ("user_id", "item_id"):
        if rows.schema[name] != pl.String():
            raise InteractionError(
                f"column {name} holds {rows.schema[name]}, not strings",
                location=str(path),
                remedy="Ids are strings: cast the column",
            )
    return rows


def _times(kind: pl.DataType, path: Path) -> pl.Expr:
    """Returns the column `timestamp` in UTC, null where it is not from 1970 to 9999."""
    given = pl.col("timestamp")
    if isinstance(kind, pl.Datetime):
        usable = given.dt.epoch("s").is_between(0, LAST_SECOND)
        zoned = pl.when(usable).then(given).cast(pl.Datetime("us", kind.time_zone))
        if kind.time_zone is None:
            zoned = zoned.dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone("UTC").alias("timestamp")
    if not (kind.is_numeric() or kind == pl.String()):
        raise InteractionError(f"column timestamp holds {kind}, not a time", location=str(path))
    seconds = given.cast(pl.Float64, strict=False)
    micros = pl.when(seconds.is_between(0, LAST_SECOND)).then(seconds * 1e6).round()
    return micros.cast(pl.Int64).cast(pl.Datetime("us", "UTC")).alias("timestamp")


def _bad(rows: pl.DataFrame, path: Path) -> list[Problem]:
    subject = pl.col("user_id").fill_null("").replace("", "?")
    groups = rows.group_by(subject, "fault").agg(pl.col("row").min(), pl.len().alias("count"))
    return [
        Problem(
            kind="bad_interaction",
            subject=user,
            location=row_location(path, row),
            message=f"{fault}; left out ({count})",
            rows=count,
        )
        for user, fault, row, count in groups.sort("row").iter_rows()
    ]


def _unknown(rows: pl.DataFrame, path: Path) -> list[Problem]:
    by_id = rows.group_by("item_id").agg(pl.col("row").min(), pl.len().alias("count")).sort("row")
    return [
        Problem(
            kind="unknown_item",
            subject=item_id,
            location=row_location(path, row),
            message=f"item {item_id!r} is not in the catalogue; its interactions are left out "
            f"({count})",
            rows=count,
        )
        for item_id, row, count in by_id.iter_rows()
    ]


def _unreadable(path: Path, error: Exception) -> InteractionError:
    return InteractionError(
        f"cannot read the interactions: {error}",
        location=str(path.absolute()),
        remedy="Give a RecBole .inter file, a parquet file, or `bundled`",
        retryable=isinstance(error, OSError) and may_pass(error),
    )
