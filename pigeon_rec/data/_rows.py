"""Checks of rows, shared by the readers of catalogues and interactions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

__all__ = ["LAST_SECOND", "first_fault", "row_location"]

LAST_SECOND = 253_402_300_799
"""End of the year 9999; a time in milliseconds since 1970 is beyond it from 1978 on."""


def first_fault(faults: Mapping[str, pl.Expr]) -> pl.Expr:
    """Returns the column `fault`: the first of `faults` (in words) that holds, or null."""
    return pl.coalesce(pl.when(holds).then(pl.lit(words)) for words, holds in faults.items()).alias(
        "fault"
    )


def row_location(path: Path, row: int) -> str:
    """`ratings.inter, row 2 (line 3)`; parquet files have no lines."""
    return f"{path}, row {row}" + ("" if path.suffix == ".parquet" else f" (line {row + 1})")
