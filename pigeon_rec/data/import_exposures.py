"""Reads exposures (what was shown, and whether it was clicked) from a table of any usual format.

As with interactions, the table is read in parts, and rows that cannot be used are left out and
counted by fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pigeon_rec.columns import ExposureColumns
from pigeon_rec.data._judged_rows import (
    Fault,
    JudgedRows,
    judged,
    kind_of,
    named,
    with_ids,
    without,
)
from pigeon_rec.data.tables import Table, check_source, find_columns, open_table, values
from pigeon_rec.errors import InteractionError
from pigeon_rec.runtime.files import replacing

__all__ = ["ORIGINAL", "ExposureRows", "Fault", "read_exposures"]

ORIGINAL: Final = "original"
"""The catalogue's own picture, in place of an asset key; and the arm of users who see those."""

_REQUIRED: Final = ("user", "item", "asset", "arm", "propensity", "time", "clicked")
_OPTIONAL: Final = ("taste", "cohort")
_NAMES: Final = (
    "row, user_id, item_id, asset_key, arm, propensity, make_timestamptz(micros) AS shown_at, "
    "clicked, taste, cohort"
)
_FAULTS: Final[Mapping[str, str]] = {
    "the time is missing, unreadable, or not in 1970 to 9999": "micros IS NULL",
    "the arm is missing": "arm IS NULL",
    "the arm is unknown": "arm NOT IN (SELECT arm FROM temp.arms)",
    "the propensity is not above 0 and at most 1": (
        "propensity IS NULL OR propensity <= 0 OR propensity > 1"
    ),
    "clicked is neither true nor false": "clicked IS NULL",
    "the arm shows originals, and the row has an asset key": (
        f"arm = '{ORIGINAL}' AND asset_key IS NOT NULL"
    ),
}


@dataclass(frozen=True)
class ExposureRows:
    """The usable rows of a table.

    Attributes:
        path: The parquet file that was written.
        columns: What -> the column of the table that was read for it.
        notes: How the table was read: encoding, form of the times.
        rows: Rows of the table that could be read.
        faults: Unusable rows by reason.
    """

    path: Path
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    rows: int
    faults: tuple[Fault, ...]


def read_exposures(
    source: str, out: Path, columns: ExposureColumns, opted_out: Sequence[str] = ()
) -> ExposureRows:
    """Writes the usable rows as parquet.

    Its columns are `row` (in the table, from 1), `user_id`, `item_id`, `asset_key` (null for the
    original), `arm`, `propensity`, `shown_at` (UTC), `clicked`, `taste` and `cohort` (null if not
    given).

    Args:
        source: Path of the table, or a query of `columns.database`.
        out: File to write.
        columns: Columns of the table, and the arms.
        opted_out: Digests of users (`data.opt_out`) whose rows are left out without a trace.

    Raises:
        InteractionError: The table cannot be read, a column is missing, no row is usable, or the
            table is the file to write.
    """
    check_source(source, columns, [out], InteractionError)
    with open_table(source, columns, InteractionError) as table:
        table.connection.execute("SET TimeZone = $zone", {"zone": columns.time_zone})
        table.connection.execute(
            "CREATE TEMP TABLE arms AS SELECT unnest($arms) AS arm", {"arms": list(columns.arms)}
        )
        found = find_columns(table, columns, _REQUIRED, _OPTIONAL, InteractionError)
        given = named(table, found, InteractionError)
        micros, form = values.utc_micros(given, "time", kind_of(table, found["time"]), columns)
        others = ", ".join(
            f"{value} AS {name}"
            for name, value in (_values(table, found) | {"micros": micros}).items()
        )
        rows = without(with_ids(given, table, found, others), table, opted_out)
        exposures = JudgedRows(table, judged(rows, _FAULTS, "false"), InteractionError)
        total, _, _, faults = exposures.counted()
        with replacing(out) as temporary:
            kept = exposures.usable().select(_NAMES)
            kept.write_parquet(str(temporary), compression="zstd")
    return ExposureRows(out, dict(found), (*table.notes, f"times: {form}"), total, faults)


def _values(table: Table, found: Mapping[str, str]) -> dict[str, str]:
    """The columns of the result as SQL expressions, without ids and time."""
    texts = {
        what: values.id_text(what, kind_of(table, found[what]))
        if what in found
        else "NULL::VARCHAR"
        for what in ("asset", "arm", *_OPTIONAL)
    }
    asset = texts.pop("asset")
    return texts | {
        "asset_key": f"CASE WHEN lower({asset}) <> '{ORIGINAL}' THEN {asset} END",
        "propensity": values.number("propensity"),
        "clicked": values.truth("clicked"),
    }
