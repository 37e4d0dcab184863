"""Passes frames between polars and DuckDB through the Arrow C stream interface alone."""

from __future__ import annotations

from typing import Any

__all__ = ["ArrowStream"]

# This module must not import duckdb. Polars keeps every class that it was given, and through it the
# globals of its module; DuckDB prints a page on stderr for each of its objects that is still alive
# when the process exits.


class ArrowStream:
    """Exposes only the Arrow C stream of an object.

    DuckDB and polars recognise each other's classes and then require pyarrow; behind this class
    they exchange the stream directly.
    """

    def __init__(self, source: Any) -> None:
        self._source = source

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Returns the stream of the wrapped object (Arrow PyCapsule interface)."""
        return self._source.__arrow_c_stream__(requested_schema)
