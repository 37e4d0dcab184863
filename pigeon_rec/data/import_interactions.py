"""Imports interactions or recommendations from a table of any usual format.

The table is read in parts, so its size is not limited by memory. Rows that cannot be used are left
out and counted by fault.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pigeon_rec.columns import InteractionColumns, RecommendationColumns
from pigeon_rec.data.tables import Table, check_source, find_columns, open_table, values
from pigeon_rec.errors import InteractionError, PigeonError, PlanError
from pigeon_rec.runtime.files import replacing

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

__all__ = ["Fault", "PairImport", "import_interactions", "import_recommendations"]

_REJECTED: Final = "the line cannot be read"


@dataclass(frozen=True)
class Fault:
    """Rows that were left out for one reason.

    Attributes:
        reason: The reason in words.
        rows: Number of such rows.
        first_row: The first of them, counted from 1; its line in the file for unreadable lines.
        example: Its values, or what is wrong with its line.
    """

    reason: str
    rows: int
    first_row: int
    example: str


@dataclass(frozen=True)
class PairImport:
    """Result of an import of interactions or recommendations.

    Attributes:
        path: The parquet file that was written.
        columns: What -> the column of the table that was read for it.
        notes: How the table was read: encoding, form of the times.
        rows: Rows of the table that could be read.
        kept: Rows written.
        duplicates: Rows left out because an equal one is there.
        low_rated: Interactions left out because of `min_rating`.
        users: Users of the rows written.
        items: Items of the rows written.
        first: Earliest time; None for recommendations.
        last: Latest time; None for recommendations.
        faults: Unusable rows by reason.
    """

    path: Path
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    rows: int
    kept: int
    duplicates: int
    low_rated: int
    users: int
    items: int
    first: dt.datetime | None
    last: dt.datetime | None
    faults: tuple[Fault, ...]


def import_interactions(
    source: str, out: Path, columns: InteractionColumns, opted_out: Sequence[str] = ()
) -> PairImport:
    """Writes interactions as parquet: `user_id`, `item_id`, `timestamp` (UTC), and `rating` if any.

    The rows are sorted by user, time and item; equal rows are written once.

    Args:
        source: Path of the table, or a query of `columns.database`.
        out: File to write.
        columns: Columns of the table, and what its times and ratings mean.
        opted_out: Digests of users (`data.opt_out`) whose rows are left out without a trace.

    Raises:
        InteractionError: The table cannot be read, a column is missing, no row is usable, or the
            table is the file to write.
    """
    check_source(source, columns, [out], InteractionError)
    with open_table(source, columns, InteractionError) as table:
        table.connection.execute("SET TimeZone = $zone", {"zone": columns.time_zone})
        found = find_columns(
            table, columns, ("user", "item", "time"), ("rating",), InteractionError
        )
        if columns.min_rating is not None and "rating" not in found:
            raise InteractionError(
                "a lowest rating is set, but no column holds ratings",
                location=table.location,
                remedy="Name it: --rating COLUMN, or leave the lowest rating out",
            )
        given = _named(table, found, InteractionError)
        micros, form = values.utc_micros(given, "time", _kind(table, found["time"]), columns)
        rating = values.number("rating") if "rating" in found else "CAST(NULL AS DOUBLE)"
        rows = _with_ids(given, table, found, f"{micros} AS micros, {rating} AS rating")
        rows = _without(rows, table, opted_out)
        faults = {"the time is missing, unreadable, or not in 1970 to 9999": "micros IS NULL"}
        low = "false"
        if columns.min_rating is not None:
            faults["the rating is no number"] = "rating IS NULL"
            low = f"rating < CAST('{columns.min_rating}' AS DOUBLE)"
        pairs = _Pairs(table, found, _judged(rows, faults, low), InteractionError)
        names = "user_id, item_id, make_timestamptz(micros) AS timestamp"
        names += ", rating" if "rating" in found else ""
        return pairs.write(
            names, "user_id, timestamp, item_id", out, (*table.notes, f"times: {form}")
        )


def import_recommendations(
    source: str, out: Path, columns: RecommendationColumns, opted_out: Sequence[str] = ()
) -> PairImport:
    """Writes recommendations as parquet: `user_id`, `item_id`, `score`, sorted; equal rows once.

    Args:
        source: Path of the table, or a query of `columns.database`.
        out: File to write.
        columns: Columns of the table.
        opted_out: As in `import_interactions`.

    Raises:
        PlanError: The table cannot be read, a column is missing, no row is usable, or the table is
            the file to write.
    """
    check_source(source, columns, [out], PlanError)
    with open_table(source, columns, PlanError) as table:
        found = find_columns(table, columns, ("user", "item", "score"), (), PlanError)
        given = _named(table, found, PlanError)
        rows = _with_ids(given, table, found, f"{values.number('score')} AS score")
        rows = _without(rows, table, opted_out)
        faults = {"the score is not a finite number": "score IS NULL"}
        pairs = _Pairs(table, found, _judged(rows, faults, "false"), PlanError)
        return pairs.write(
            "user_id, item_id, score", "user_id, score DESC, item_id", out, table.notes
        )


@dataclass(frozen=True)
class _Pairs:
    """The rows of a table.

    Attributes:
        rows: `row`, `user_id`, `item_id`, the values, `example` (the row in words), `fault` (why it
            is unusable, or null) and `low` (left out because of a low rating).
    """

    table: Table
    found: Mapping[str, str]
    rows: DuckDBPyRelation
    error: type[PigeonError]

    def write(self, names: str, order: str, out: Path, notes: tuple[str, ...]) -> PairImport:
        """Writes the usable rows, each once, and counts the others."""
        total, usable, low = self.rows.aggregate(
            "count(*), count(*) FILTER (fault IS NULL AND NOT low), "
            "count(*) FILTER (fault IS NULL AND low)"
        ).fetchall()[0]
        faults = self._faults()
        if not total and not faults:
            raise self.error("there are no rows to import", location=self.table.location)
        if not usable:
            first = f"; the first: {faults[0].reason} ({faults[0].example})" if faults else ""
            rated = f"; {low} have a lower rating" if low else ""
            count = total + sum(fault.rows for fault in faults if fault.reason == _REJECTED)
            what = f"none of {count} rows is usable{first}{rated}"
            raise self.error(what, location=self.table.location)
        kept = self.rows.filter("fault IS NULL AND NOT low").select(names).distinct().order(order)
        with replacing(out) as temporary:
            kept.write_parquet(str(temporary), compression="zstd")
            written = self.table.connection.from_parquet(str(temporary))
            times = "min(timestamp), max(timestamp)" if "time" in self.found else "NULL, NULL"
            count, users, items, first_time, last_time = written.aggregate(
                f"count(*), count(DISTINCT user_id), count(DISTINCT item_id), {times}"
            ).fetchall()[0]
        return PairImport(
            path=out,
            columns=dict(self.found),
            notes=notes,
            rows=total,
            kept=count,
            duplicates=usable - count,
            low_rated=low,
            users=users,
            items=items,
            first=_utc(first_time),
            last=_utc(last_time),
            faults=faults,
        )

    def _faults(self) -> tuple[Fault, ...]:
        lines = self.table.rejected_lines()
        broken = [Fault(_REJECTED, len(lines), *lines[0])] if lines else []
        grouped = self.rows.filter("fault IS NOT NULL").aggregate(
            "fault, count(*) AS rows, min(row) AS first_row, arg_min(example, row) AS example",
            "fault",
        )
        return (*broken, *(Fault(*row) for row in grouped.order("first_row").fetchall()))


def _named(table: Table, found: Mapping[str, str], error: type[PigeonError]) -> DuckDBPyRelation:
    """The found columns under our names, with the number of each row from 1."""
    for what in ("user", "item"):
        if not values.holds_ids(_kind(table, found[what])):
            raise error(
                f"column {found[what]!r} holds {_kind(table, found[what])}, not ids",
                location=table.location,
            )
    named = (table.columns[name][0].alias(what) for what, name in found.items())
    return table.relation.select(*named).select("*, row_number() OVER () AS row")


def _with_ids(
    given: DuckDBPyRelation, table: Table, found: Mapping[str, str], others: str
) -> DuckDBPyRelation:
    """The ids as text, the other values, and `example`."""
    ids = ", ".join(
        f"{values.id_text(what, _kind(table, found[what]))} AS {what}_id"
        for what in ("user", "item")
    )
    example = ", ', ', ".join(
        f"'{what}=', coalesce(left(CAST({what} AS VARCHAR), 60), 'null')" for what in found
    )
    return given.select(f"row, {ids}, {others}, concat({example}) AS example")


def _without(rows: DuckDBPyRelation, table: Table, opted_out: Sequence[str]) -> DuckDBPyRelation:
    """Leaves out the rows of users by the digests of their ids."""
    if not opted_out:
        return rows
    create = "CREATE TEMP TABLE opted_out AS SELECT unnest($digests) AS user_sha256"
    table.connection.execute(create, {"digests": list(opted_out)})
    return rows.filter(
        "coalesce(sha256(user_id) NOT IN (SELECT user_sha256 FROM temp.opted_out), true)"
    )


def _judged(rows: DuckDBPyRelation, faults: Mapping[str, str], low: str) -> DuckDBPyRelation:
    """Adds `fault`, the first that holds, and `low`."""
    every = {"the user is missing": "user_id IS NULL", "the item is missing": "item_id IS NULL"}
    cases = " ".join(
        f"WHEN {holds} THEN '{reason}'" for reason, holds in {**every, **faults}.items()
    )
    return rows.select(f"*, CASE {cases} END AS fault, coalesce({low}, false) AS low")


def _kind(table: Table, name: str) -> str:
    return table.columns[name][1]


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else moment.astimezone(dt.UTC)
