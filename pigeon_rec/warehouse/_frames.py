"""Running SQL on DuckDB with polars frames as input and output, without pyarrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.warehouse._arrow import ArrowStream

__all__ = ["fetch", "fetch_each", "registered", "run_script", "select"]


@contextlib.contextmanager
def registered(connection: DuckDBPyConnection, **frames: pl.DataFrame) -> Iterator[None]:
    """Makes frames readable under a name by SQL on this connection, within the block."""
    names: list[str] = []
    try:
        for name, frame in frames.items():
            connection.register(name, ArrowStream(frame))
            names.append(name)
        yield
    finally:
        for name in names:
            # DuckDB refuses this in a failed transaction, whose rollback then does it.
            with contextlib.suppress(duckdb.Error):
                connection.unregister(name)


def fetch(
    connection: DuckDBPyConnection, sql: str, params: Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """Runs a statement and returns all rows as tuples.

    A result that is not read to its end would block the connection.
    """
    return connection.execute(sql, dict(params) if params else None).fetchall()


def select(
    connection: DuckDBPyConnection, sql: str, params: Mapping[str, object] | None = None
) -> pl.DataFrame:
    """Returns the rows of one SELECT with its named parameters bound."""
    relation = connection.sql(sql, params=dict(params) if params else None)
    return pl.DataFrame(ArrowStream(relation))


def run_script(connection: DuckDBPyConnection, sql: str, params: Mapping[str, object]) -> None:
    """Runs every statement of a script with those of the parameters that it names."""
    for statement in connection.extract_statements(sql):
        values = {name: params[name] for name in statement.named_parameters}
        connection.execute(statement, values or None).fetchall()


def fetch_each(connection: DuckDBPyConnection, sql: str) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of every SELECT of a script, which has no parameters."""
    for statement in connection.extract_statements(sql):
        yield from connection.execute(statement).fetchall()
