"""Imports interactions or recommendations from a table of any usual format.

The table is read in parts, so its size is not limited by memory. Rows that cannot be used are left
out and counted by fault.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pigeon_rec.columns import InteractionColumns, RecommendationColumns
from pigeon_rec.data._judged_rows import (
    Fault,
    JudgedRows,
    judged,
    kind_of,
    named,
    with_ids,
    without,
)
from pigeon_rec.data.tables import check_source, find_columns, open_table, values
from pigeon_rec.errors import InteractionError, PlanError
from pigeon_rec.runtime.files import replacing

__all__ = ["Fault", "PairImport", "import_interactions", "import_recommendations"]


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
        given = named(table, found, InteractionError)
        micros, form = values.utc_micros(given, "time", kind_of(table, found["time"]), columns)
        rating = values.number("rating") if "rating" in found else "CAST(NULL AS DOUBLE)"
        rows = with_ids(given, table, found, f"{micros} AS micros, {rating} AS rating")
        rows = without(rows, table, opted_out)
        faults = {"the time is missing, unreadable, or not in 1970 to 9999": "micros IS NULL"}
        low = "false"
        if columns.min_rating is not None:
            faults["the rating is no number"] = "rating IS NULL"
            low = f"rating < CAST('{columns.min_rating}' AS DOUBLE)"
        pairs = JudgedRows(table, judged(rows, faults, low), InteractionError)
        names = "user_id, item_id, make_timestamptz(micros) AS timestamp"
        names += ", rating" if "rating" in found else ""
        order, notes = "user_id, timestamp, item_id", (*table.notes, f"times: {form}")
        return _written(pairs, found, names, order, out, notes)


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
        given = named(table, found, PlanError)
        rows = with_ids(given, table, found, f"{values.number('score')} AS score")
        rows = without(rows, table, opted_out)
        faults = {"the score is not a finite number": "score IS NULL"}
        pairs = JudgedRows(table, judged(rows, faults, "false"), PlanError)
        names, order = "user_id, item_id, score", "user_id, score DESC, item_id"
        return _written(pairs, found, names, order, out, table.notes)


def _written(
    pairs: JudgedRows,
    found: Mapping[str, str],
    names: str,
    order: str,
    out: Path,
    notes: tuple[str, ...],
) -> PairImport:
    """Writes the usable rows, each once, and counts the others."""
    total, usable, low, faults = pairs.counted()
    kept = pairs.usable().select(names).distinct().order(order)
    with replacing(out) as temporary:
        kept.write_parquet(str(temporary), compression="zstd")
        written = pairs.table.connection.from_parquet(str(temporary))
        times = "min(timestamp), max(timestamp)" if "time" in found else "NULL, NULL"
        count, users, items, first_time, last_time = written.aggregate(
            f"count(*), count(DISTINCT user_id), count(DISTINCT item_id), {times}"
        ).fetchall()[0]
    return PairImport(
        path=out,
        columns=dict(found),
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


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else moment.astimezone(dt.UTC)
