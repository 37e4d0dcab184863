"""A plain door between polars and DuckDB: the Arrow C stream interface and nothing else."""

from __future__ import annotations

from typing import Any

__all__ = ["ArrowStream"]

# This module must not import duckdb. Polars remembers for good every class that it was given, and
# through a class the globals of its module; DuckDB reports whatever of it is alive at the exit of
# the process, a page long, on stderr.


class ArrowStream:
    """Shows only the Arrow C stream of an object.

    DuckDB and polars recognise each other's classes and then go through pyarrow, which neither
    needs; behind this class both take the direct way.
    """

    def __init__(self, source: Any) -> None:
        self._source = source

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The stream of the object behind, as the Arrow PyCapsule interface has it."""
        return self._source.__arrow_c_stream__(requested_schema)
