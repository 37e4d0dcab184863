"""Queries of a published warehouse: saved ones and free SQL.

Every function opens the file read-only for one query. Pass the serving link: it is never locked,
and each call reads the snapshot promoted last.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse._frames import select
from pigeon_rec.warehouse.connection import driver_errors, open_reader
from pigeon_rec.warehouse.sql_files import query_names, sql_text

__all__ = ["ask", "query", "served_assets", "warehouse_info"]


def served_assets(path: Path) -> pl.DataFrame:
    """Returns every served pair with its picture and scores, by user, best first.

    Raises:
        WarehouseError: The file is missing, open for writing, or not a warehouse.
    """
    return _run(path, "served_assets", sql_text("internal/served_assets"), None)


def warehouse_info(path: Path, link: Path) -> dict[str, Any]:
    """Returns extent and size of a warehouse and the snapshots beside `link`, as JSON values.

    Raises:
        WarehouseError: The file is missing, open for writing, not a warehouse, or of an older
            schema.
    """
    [facts] = _run(path, "info", sql_text("internal/info"), None).to_dicts()
    snapshots = sorted((link.parent / "snapshots").glob("*.duckdb"))
    return {
        **{name: str(v) if isinstance(v, dt.date) else v for name, v in facts.items()},
        "file_bytes": path.stat().st_size,
        "snapshots": len(snapshots),
        "snapshot_bytes": sum(snapshot.stat().st_size for snapshot in snapshots),
        "served_snapshot": link.resolve().name if link.exists() else None,
    }


def query(path: Path, name: str, params: Mapping[str, object] | None = None) -> pl.DataFrame:
    """Runs a saved query (`sql/queries/<name>.sql`).

    Args:
        path: Serving link, snapshot or warehouse.
        name: One of `query_names()`.
        params: A value for every `$name` in the query.

    Raises:
        WarehouseError: The query or a parameter is unknown, a parameter is missing, or the file
            cannot be read.
    """
    known = query_names()
    if name not in known:
        raise WarehouseError(
            f"there is no saved query {name!r}",
            location="sql/queries",
            remedy=f"Saved queries: {', '.join(known)}",
        )
    return _run(path, name, sql_text(f"queries/{name}"), params)


def ask(path: Path, text: str, params: Mapping[str, object] | None = None) -> pl.DataFrame:
    """Runs a saved query by name, or one SQL statement; `params` has a value for every `$name`.

    Raises:
        WarehouseError: As `query`, or the text is not exactly one statement.
    """
    if text in query_names() or text.isidentifier():  # no SQL statement is one bare word
        return query(path, text, params)
    return _run(path, "SQL text", text, params)


def _run(path: Path, name: str, sql: str, params: Mapping[str, object] | None) -> pl.DataFrame:
    with open_reader(path) as connection, driver_errors(f"{name} on {path}"):
        _check_parameters(connection, name, sql, params or {})
        return select(connection, sql, params)


def _check_parameters(
    connection: DuckDBPyConnection, name: str, sql: str, params: Mapping[str, object]
) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise WarehouseError(
            f"expected one SQL statement, received {len(statements)}",
            location=name,
            remedy="Write one SELECT, or name one of " + ", ".join(query_names()),
        )
    wanted = sorted(statements[0].named_parameters)
    if sorted(params) != wanted:
        raise WarehouseError(
            f"the query takes the parameters {wanted}, received {sorted(params)}",
            location=name,
            remedy="Give a value for each of these names and for no other",
        )
