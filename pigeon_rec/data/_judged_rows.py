"""Rows of a foreign table of users and items: the usable ones, and the others by fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pigeon_rec.data.tables import Table, values
from pigeon_rec.errors import PigeonError

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

__all__ = ["Fault", "JudgedRows", "judged", "kind_of", "named", "with_ids", "without"]

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
class JudgedRows:
    """The rows of a table.

    Attributes:
        rows: `row`, `user_id`, `item_id`, the values, `example` (the row in words), `fault` (why it
            is unusable, or null) and `low` (left out because of a low rating).
    """

    table: Table
    rows: DuckDBPyRelation
    error: type[PigeonError]

    def counted(self) -> tuple[int, int, int, tuple[Fault, ...]]:
        """Returns how many rows could be read, are usable and have a low rating, and the faults.

        Raises:
            PigeonError: Of the type `error`: no row is usable.
        """
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
        return total, usable, low, faults

    def usable(self) -> DuckDBPyRelation:
        """Returns the rows to import."""
        return self.rows.filter("fault IS NULL AND NOT low")

    def _faults(self) -> tuple[Fault, ...]:
        lines = self.table.rejected_lines()
        broken = [Fault(_REJECTED, len(lines), *lines[0])] if lines else []
        grouped = self.rows.filter("fault IS NOT NULL").aggregate(
            "fault, count(*) AS rows, min(row) AS first_row, arg_min(example, row) AS example",
            "fault",
        )
        return (*broken, *(Fault(*row) for row in grouped.order("first_row").fetchall()))


def named(table: Table, found: Mapping[str, str], error: type[PigeonError]) -> DuckDBPyRelation:
    """The found columns under our names, with the number of each row from 1."""
    for what in ("user", "item"):
        if not values.holds_ids(kind_of(table, found[what])):
            raise error(
                f"column {found[what]!r} holds {kind_of(table, found[what])}, not ids",
                location=table.location,
            )
    named = (table.columns[name][0].alias(what) for what, name in found.items())
    return table.relation.select(*named).select("*, row_number() OVER () AS row")


def with_ids(
    given: DuckDBPyRelation, table: Table, found: Mapping[str, str], others: str
) -> DuckDBPyRelation:
    """The ids as text, the other values, and `example`."""
    ids = ", ".join(
        f"{values.id_text(what, kind_of(table, found[what]))} AS {what}_id"
        for what in ("user", "item")
    )
    example = ", ', ', ".join(
        f"'{what}=', coalesce(left(CAST({what} AS VARCHAR), 60), 'null')" for what in found
    )
    return given.select(f"row, {ids}, {others}, concat({example}) AS example")


def without(rows: DuckDBPyRelation, table: Table, opted_out: Sequence[str]) -> DuckDBPyRelation:
    """Leaves out the rows of users by the digests of their ids."""
    if not opted_out:
        return rows
    create = "CREATE TEMP TABLE opted_out AS SELECT unnest($digests) AS user_sha256"
    table.connection.execute(create, {"digests": list(opted_out)})
    return rows.filter(
        "coalesce(sha256(user_id) NOT IN (SELECT user_sha256 FROM temp.opted_out), true)"
    )


def judged(rows: DuckDBPyRelation, faults: Mapping[str, str], low: str) -> DuckDBPyRelation:
    """Adds `fault`, the first that holds, and `low`."""
    every = {"the user is missing": "user_id IS NULL", "the item is missing": "item_id IS NULL"}
    cases = " ".join(
        f"WHEN {holds} THEN '{reason}'" for reason, holds in {**every, **faults}.items()
    )
    return rows.select(f"*, CASE {cases} END AS fault, coalesce({low}, false) AS low")


def kind_of(table: Table, name: str) -> str:
    return table.columns[name][1]
