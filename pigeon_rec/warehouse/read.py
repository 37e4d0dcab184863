"""Queries of a published warehouse: saved ones and free SQL.

Every function opens the file read-only for one query. Pass the serving link: it is never locked,
and each call reads the snapshot promoted last.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl
from duckdb import DuckDBPyConnection, DuckDBPyRelation, StatementType

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.files import real_path
from pigeon_rec.warehouse._arrow import ArrowStream
from pigeon_rec.warehouse._frames import run_script, select
from pigeon_rec.warehouse.connection import driver_errors, open_private, open_reader
from pigeon_rec.warehouse.feedback import attach_exposures
from pigeon_rec.warehouse.sql_files import query_names, sql_text

__all__ = ["answer", "ask", "query", "served_assets", "warehouse_info"]

_READING: Final = (StatementType.SELECT, StatementType.EXPLAIN, StatementType.MULTI)  # or PIVOT
# DuckDB tells the tables of a query only if that has no parameters.
_READS_EXPOSURES: Final = re.compile(r"""(?:\bfrom|\bjoin|,)\s*"?exposures\b""", re.IGNORECASE)
_EXACT: Final = {
    *("boolean", "tinyint", "smallint", "integer", "bigint", "hugeint"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
    *("float", "double", "blob"),
}
"""Types that Python holds without loss; it has no infinite date and no month as an interval."""


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
        "served_snapshot": real_path(link).name if link.exists() else None,
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
    sql = _saved(name)
    if _READS_EXPOSURES.search(sql):
        return ask(path, name, params)  # in an instance of its own, which other files can join
    return _run(path, name, sql, params)


def _saved(name: str) -> str:
    known = query_names()
    if name not in known:
        raise WarehouseError(
            f"there is no saved query {name!r}",
            location="sql/queries",
            remedy=f"Saved queries: {', '.join(known)}",
        )
    return sql_text(f"queries/{name}")


def ask(path: Path, text: str, params: Mapping[str, object] | None = None) -> pl.DataFrame:
    """As `answer`, for results that a polars frame can hold."""
    with _locked_relation(path, text, params or {}) as relation:
        return pl.DataFrame(ArrowStream(relation))


def answer(
    path: Path, text: str, params: Mapping[str, object] | None = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Runs a saved query by name, or one SQL query; `params` has a value for every `$name`.

    The query can read the tables of the file and the exposures beside it, and nothing else: no
    other file, network or extension.

    Returns:
        The names of the columns, which may repeat, and the rows. Values are numbers, truth values,
        bytes, lists and mappings of them, or else text.

    Raises:
        WarehouseError: As `query`, or the text is not exactly one reading statement.
    """
    with _locked_relation(path, text, params or {}) as relation:
        exact = (f"#{place}::{_exact(kind)}" for place, kind in enumerate(relation.types, 1))
        # `project` alone wraps the text of the query, which may end with a comment.
        return relation.columns, relation.materialize().project(", ".join(exact)).fetchall()


@contextlib.contextmanager
def _locked_relation(
    path: Path, text: str, params: Mapping[str, object]
) -> Iterator[DuckDBPyRelation]:
    """Yields the relation of a query on a connection that is locked down."""
    saved = text in query_names() or text.isidentifier()  # no SQL statement is one bare word
    name, sql = (text, _saved(text)) if saved else ("SQL text", text)
    _check_encoding(name, sql, params)
    with open_private(path) as connection, driver_errors(f"{name} on {path}"):
        if _READS_EXPOSURES.search(sql):
            attach_exposures(connection, path)
        run_script(connection, sql_text("internal/lock_down"), {})
        _check_statement(connection, name, sql, params)
        yield connection.sql(sql, params=dict(params) if params else None)


def _run(path: Path, name: str, sql: str, params: Mapping[str, object] | None) -> pl.DataFrame:
    with open_reader(path) as connection, driver_errors(f"{name} on {path}"):
        _check_statement(connection, name, sql, params or {})
        return select(connection, sql, params)


def _check_statement(
    connection: DuckDBPyConnection, name: str, sql: str, params: Mapping[str, object]
) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        fault = f"expected one SQL statement, received {len(statements)}"
    elif statements[0].type not in _READING:
        fault = f"queries are read-only, received a statement of the kind {statements[0].type.name}"
    elif sorted(params) != (wanted := sorted(statements[0].named_parameters)):
        raise WarehouseError(
            f"the query takes the parameters {wanted}, received {sorted(params)}",
            location=name,
            remedy="Give a value for each of these names and for no other",
        )
    else:
        return
    remedy = "Write one SELECT, or name one of " + ", ".join(query_names())
    raise WarehouseError(fault, location=name, remedy=remedy)


def _check_encoding(name: str, sql: str, params: Mapping[str, object]) -> None:
    try:
        "".join(map(str, (sql, *params, *params.values()))).encode()
    except UnicodeEncodeError as error:
        raise WarehouseError("the query is not text in UTF-8", location=name) from error


def _exact(kind: Any) -> str:
    """Returns the SQL type to cast a `DuckDBPyType` to, so that Python shows its values exactly."""
    if kind.id in ("list", "array"):
        return f"{_exact(kind.children[0][1])}[]"
    if kind.id == "map":
        return f"MAP({', '.join(_exact(part) for _, part in kind.children)})"
    if kind.id == "struct":
        names = ['"' + name.replace('"', '""') + '"' for name, _ in kind.children]
        parts = [_exact(part) for _, part in kind.children]
        return f"STRUCT({', '.join(map('{} {}'.format, names, parts))})"
    return str(kind) if kind.id in _EXACT else "VARCHAR"
