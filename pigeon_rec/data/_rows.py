"""Checks of rows, shared by the readers of catalogues, interactions and MovieLens files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from pigeon_rec.errors import PigeonError

__all__ = ["LAST_SECOND", "first_fault", "refuse", "row_location"]

LAST_SECOND = 253_402_300_799
"""End of the year 9999; a time in milliseconds since 1970 is beyond it from 1978 on."""


def refuse(
    rows: pl.DataFrame, fault: pl.Expr, what: str, location: Path, error: type[PigeonError]
) -> None:
    """Raises `error` for the first faulty row, with its values and the number of faulty rows.

    `rows` has a column `row`, counted from 1; `what` is the fault in words.
    """
    bad = rows.filter(fault)
    if bad.height:
        first = bad.row(0, named=True)
        values = ", ".join(f"{name}={value!r}" for name, value in first.items() if name != "row")
        raise error(
            f"{what} ({values}), in {bad.height} of {rows.height} rows",
            location=row_location(location, first["row"]),
        )


def first_fault(faults: Mapping[str, pl.Expr]) -> pl.Expr:
    """Returns the column `fault`: the first of `faults` (in words) that holds, or null."""
    return pl.coalesce(pl.when(holds).then(pl.lit(words)) for words, holds in faults.items()).alias(
        "fault"
    )


def row_location(path: Path, row: int) -> str:
    """`ratings.inter, row 2 (line 3)`; parquet files have no lines."""
    return f"{path}, row {row}" + ("" if path.suffix == ".parquet" else f" (line {row + 1})")
