"""Interactions of users with items: RecBole atomic files (`*.inter`) or parquet.

Malformed rows, and interactions with items that are not in the catalogue, are left out and reported
as `Problem`s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

import polars as pl

from pigeon_rec.data._rows import LAST_SECOND, first_fault, row_location
from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.data.world import WORLDS, load_world
from pigeon_rec.errors import InteractionError, may_pass

__all__ = [
    "INTERACTION_SCHEMA",
    "LAST_SECOND",
    "InteractionTable",
    "load_interactions",
    "scan_interactions",
]

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


@dataclass(frozen=True)
class InteractionTable:
    """A checked table of interactions whose rows are read when they are needed.

    Attributes:
        path: The file.
        rows: `row` (from 1), `user_id, item_id, timestamp` and `fault` (null for a usable row).
        known_ids: Ids of the catalogue.
    """

    path: Path
    rows: pl.LazyFrame
    known_ids: pl.Series

    def known(self) -> pl.LazyFrame:
        """Returns the usable rows with known items, as `INTERACTION_SCHEMA`, in any order."""
        usable = self.rows.filter(pl.col("fault").is_null(), self._is_known)
        return usable.select(INTERACTION_SCHEMA.names())

    def problems(self) -> list[Problem]:
        """Returns what is left out, as `load_interactions`."""
        bad = self.rows.filter(pl.col("fault").is_not_null())
        strange = self.rows.filter(pl.col("fault").is_null(), ~self._is_known)
        return [*_bad(bad, self.path), *_unknown(strange, self.path)]

    @property
    def _is_known(self) -> pl.Expr:
        return pl.col("item_id").is_in(self.known_ids.implode())


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
    table = scan_interactions(source, catalogue, until=until, in_memory=True)
    return table.known().collect().sort("user_id", "timestamp", "item_id"), table.problems()


def scan_interactions(
    source: str | Path,
    catalogue: Catalogue,
    *,
    until: datetime | None = None,
    in_memory: bool = False,
) -> InteractionTable:
    """Checks interactions as `load_interactions`, without holding them in memory.

    With `in_memory` the file is read once and held, which is faster if it fits.

    Raises:
        InteractionError: As `load_interactions`.
    """
    if until is not None and until.tzinfo is None:
        raise InteractionError(f"until = {until} has no time zone", remedy="Give it in UTC")
    path = load_world(str(source)).interactions if source in WORLDS else Path(source)
    atomic = path.suffix == ".inter"
    with _readable(path):
        rows = (_scan_atomic(path) if atomic else _scan_parquet(path)).with_row_index(
            "row", offset=1
        )
        if atomic:  # blank lines count, but hold nothing
            rows = rows.filter(~pl.all_horizontal(pl.col(INTERACTION_SCHEMA.names()).is_null()))
        time = _times(rows.collect_schema()["timestamp"], path)
        rows = rows.with_columns(time).with_columns(_FAULT).drop("torn")
        if in_memory:
            rows = rows.collect().lazy()
        bad = pl.col("fault").is_not_null()
        first = pl.col("row", "fault").filter(bad).first()
        counts = rows.select(pl.len(), bad.sum().alias("bad"), first).collect(engine="streaming")
    height, unusable, row, fault = counts.row(0)
    if height == unusable and unusable:
        raise InteractionError(
            f"none of the {unusable} rows is usable; the first: {fault}",
            location=row_location(path, row),
        )
    if until is not None:
        rows = rows.filter(bad & pl.col("timestamp").is_null() | (pl.col("timestamp") < until))
    return InteractionTable(path, rows, catalogue.items["item_id"])


def _scan_atomic(path: Path) -> pl.LazyFrame:
    # All text and no quoting, as in RecBole; types are checked row by row below.
    rows = pl.scan_csv(path, separator="\t", quote_char=None, infer_schema=False, glob=False)
    try:
        rows.select(pl.all().null_count()).collect(engine="streaming")
        rows = rows.with_columns(torn=pl.lit(value=False))
    except pl.exceptions.ComputeError:  # of some line; the others can still be read
        rows = _scan_lossy(path)
    columns = rows.collect_schema().names()
    for name, header in _ATOMIC_HEADERS.items():
        given = [column for column in columns if column.split(":")[0] == name]
        if given != [header]:
            raise InteractionError(
                f"the header has {', '.join(given) or 'nothing'} for {name}, not {header}",
                location=f"{path}, line 1",
                remedy="An atomic file starts with tab-separated name:type fields",
            )
    return rows.select(
        *(pl.col(header).alias(name) for name, header in _ATOMIC_HEADERS.items()), "torn"
    )


def _scan_lossy(path: Path) -> pl.LazyFrame:
    """Scans the rows as far as they can be read; `torn` have bad bytes or too many fields."""
    scan = partial(
        pl.scan_csv,
        path,
        quote_char=None,
        infer_schema=False,
        glob=False,
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
    )
    rows, lines = scan(separator="\t"), scan(separator="\x1e")
    names = rows.collect_schema().names()
    line = pl.first().fill_null("")
    torn = line.str.contains("\ufffd") | (line.str.count_matches("\t") >= len(names))
    return pl.concat([rows, lines.select(torn.alias("torn"))], how="horizontal")


def _scan_parquet(path: Path) -> pl.LazyFrame:
    rows = pl.scan_parquet(path, glob=False)
    schema = rows.collect_schema()
    missing = [name for name in INTERACTION_SCHEMA if name not in schema]
    if missing:
        raise InteractionError(f"columns are missing: {', '.join(missing)}", location=str(path))
    for name in ("user_id", "item_id"):
        if schema[name] != pl.String():
            raise InteractionError(
                f"column {name} holds {schema[name]}, not strings",
                location=str(path),
                remedy="Ids are strings: cast the column",
            )
    return rows.select(*INTERACTION_SCHEMA.names(), pl.lit(value=False).alias("torn"))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what reading the file raises into an `InteractionError`."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    except pl.exceptions.PanicException as error:
        raise _unreadable(path, pl.exceptions.ComputeError("the file is damaged")) from error


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


def _bad(rows: pl.LazyFrame, path: Path) -> list[Problem]:
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
        for user, fault, row, count in groups.collect(engine="streaming").sort("row").iter_rows()
    ]


def _unknown(rows: pl.LazyFrame, path: Path) -> list[Problem]:
    by_id = rows.group_by("item_id").agg(pl.col("row").min(), pl.len().alias("count"))
    return [
        Problem(
            kind="unknown_item",
            subject=item_id,
            location=row_location(path, row),
            message=f"item {item_id!r} is not in the catalogue; its interactions are left out "
            f"({count})",
            rows=count,
        )
        for item_id, row, count in by_id.collect(engine="streaming").sort("row").iter_rows()
    ]


def _unreadable(path: Path, error: Exception) -> InteractionError:
    return InteractionError(
        f"cannot read the interactions: {error}",
        location=str(path.absolute()),
        remedy="Give a RecBole .inter file, a parquet file, or `bundled`",
        retryable=isinstance(error, OSError) and may_pass(error),
    )
