"""Opens a table of any usual format with DuckDB, which reads it in parts.

Text files are read as text, so that an id keeps its leading zeros. Lines that cannot be read are
left out and reported.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pigeon_rec.columns import TableColumns
from pigeon_rec.data.tables.text_file import (
    check_names,
    column_names,
    encoding_of,
    head_of,
    mixes_newlines,
    separator_of,
    write_utf_8,
)
from pigeon_rec.errors import PigeonError, storage_error

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation, Expression

__all__ = ["FORMATS", "Table", "check_source", "open_table"]

FORMATS: Final = (
    "CSV, TSV or JSON lines, also with .gz, parquet, RecBole's .item and .inter, or a DuckDB query"
)
_ATOMIC: Final = (".item", ".inter", ".user")
_COMPRESSED: Final = ".gz"
_NO_TABLE: Final = (
    *(".xlsx", ".xls", ".feather", ".arrow", ".npy", ".pkl", ".db", ".duckdb", ".sqlite", ".pdf"),
    *(".zip", ".zst", ".bz2", ".xz", ".7z", ".tar", ".tgz"),
)
_JSON_LINES: Final = (
    "SELECT json FROM read_json_objects($file, format = 'newline_delimited', ignore_errors = true)"
)
_JSON_ARRAY: Final = "SELECT json FROM read_json_objects($file, format = 'auto')"
_SAMPLED_OBJECTS: Final = 1000
_MEMORY_LIMIT: Final = "2GB"


@dataclass(frozen=True)
class Table:
    """An open table.

    Attributes:
        relation: The rows as they are given.
        location: Path, or database and query, for messages.
        columns: Name of each column -> its value in `relation` and its DuckDB type.
        stores_rejects: Whether lines that cannot be read are put into the table `reject_errors`.
        notes: What was found about the file, such as its encoding.
    """

    connection: DuckDBPyConnection
    relation: DuckDBPyRelation
    location: str
    columns: Mapping[str, tuple[Expression, str]]
    stores_rejects: bool = False
    notes: tuple[str, ...] = field(default=())

    def rejected_lines(self) -> list[tuple[int, str]]:
        """Returns number and fault of each line that the last pass over the file left out."""
        if not self.stores_rejects:
            return []
        found = self.connection.execute(
            "SELECT line, min(error_message) FROM reject_errors "
            "WHERE scan_id = (SELECT max(scan_id) FROM reject_errors) GROUP BY line ORDER BY line"
        ).fetchall()
        return [(int(line), " ".join(str(message).split())) for line, message in found]


@contextmanager
def open_table(source: str, columns: TableColumns, error: type[PigeonError]) -> Iterator[Table]:
    """Opens a file, or with `columns.database` the result of a query.

    At most 2 GB of memory are used for its rows; larger results go through a temporary folder.

    Raises:
        PigeonError: Of the type `error`: the file is missing, empty, of no known format or cannot
            be read, or the query fails. Errors of DuckDB inside the block become such errors too.
        StorageError: The disk is full.
    """
    import duckdb

    location = f"{columns.database}: {source}" if columns.database else source
    scratch = tempfile.TemporaryDirectory(prefix="pigeon-table-")
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": _MEMORY_LIMIT,
            "temp_directory": scratch.name,
        }
    )
    try:
        connection.execute("SET TimeZone = 'UTC'")
        if columns.database is not None:
            yield _query(connection, source, columns.database, error)
        else:
            yield _file(connection, Path(source), Path(scratch.name), columns, error)
    except duckdb.Error as cause:
        if (full := os.strerror(errno.ENOSPC)) in str(cause):
            named = re.search(r'"(/[^"\\]+)', str(cause))
            raise storage_error(OSError(errno.ENOSPC, full), named[1] if named else location) from (
                cause
            )
        why = re.sub(
            rf"{re.escape(scratch.name)}/\S*?(?=['\",:]|\s|$)",
            source,
            str(cause).strip().split("\n")[0],
        )
        busy = "lock" in why
        raise error(
            f"cannot read the table: {why}",
            location=location,
            remedy="End the program that writes to it, or query a copy" if busy else None,
        ) from cause
    finally:
        connection.close()
        scratch.cleanup()


def check_source(
    source: str, columns: TableColumns, targets: Iterable[Path], error: type[PigeonError]
) -> None:
    """Checks that a table is local, and that its import does not write over it.

    Raises:
        PigeonError: Of the type `error`: it is an address, or one of the targets is the table.
    """
    if columns.database is not None:
        return
    if "://" in source:
        raise error(
            "a table at an address is not read", location=source, remedy="Copy it to a local file"
        )
    for target in targets:
        if os.path.realpath(source) == os.path.realpath(target):
            raise error(
                "the import would write over the table that it reads",
                location=str(target.absolute()),
                remedy="Choose another folder to write to",
            )


def _query(
    connection: DuckDBPyConnection, query: str, database: Path, error: type[PigeonError]
) -> Table:
    import duckdb

    if (why := _no_file(database, "database")) is not None:
        raise error(why, location=str(database.absolute()))
    connection.execute("ATTACH $file AS given (READ_ONLY, TYPE duckdb)", {"file": str(database)})
    connection.execute("USE given")
    plain = _without_end(query)
    statements = connection.extract_statements(plain)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        found = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise error(
            f"a query is one SELECT; this is {found}",
            location=f"{database}: {query}",
            remedy="Write it as SELECT ...",
        )
    relation = connection.sql(plain)
    return Table(connection, relation, f"{database}: {query}", _named(relation, relation.columns))


def _without_end(query: str) -> str:
    """The query without comments and semicolons at its end, so that it can be part of another."""
    import duckdb

    text = query.encode()
    for start, kind in reversed(duckdb.tokenize(query)):
        if kind != duckdb.token_type.comment and text[start : start + 1] != b";":
            break
        text = text[:start]
    return text.decode().strip()


@dataclass(frozen=True)
class _File:
    """A file, and the link that it is read through.

    DuckDB would take a name such as `[1].csv` as a pattern, and a folder `id=7` as a column.
    """

    link: Path
    location: str
    suffix: str
    columns: TableColumns
    error: type[PigeonError]


def _file(
    connection: DuckDBPyConnection,
    path: Path,
    scratch: Path,
    columns: TableColumns,
    error: type[PigeonError],
) -> Table:
    if (why := _no_file(path, "file")) is not None:
        raise error(why, location=str(path.absolute()))
    suffix = _suffix(path)
    if suffix in _NO_TABLE:
        raise error(
            f"a {suffix} file is not a table that can be read",
            location=str(path),
            remedy=f"Give {FORMATS}",
        )
    if path.stat().st_size == 0:
        raise error("the file is empty", location=str(path))
    packed = path.suffix.lower() == _COMPRESSED
    file = _File(scratch / f"table{_COMPRESSED * packed}", str(path), suffix, columns, error)
    try:
        file.link.symlink_to(path.absolute())
        if suffix in (".parquet", ".pq"):
            return _parquet(connection, file)
        if suffix in (".json", ".jsonl", ".ndjson"):
            return _json(connection, file)
        return _text(connection, file)
    except (OSError, EOFError, zlib.error) as cause:
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:  # of the temporary copy
            raise storage_error(cause, str(scratch)) from cause
        reason = getattr(cause, "strerror", None) or cause
        raise error(f"cannot read the table: {reason}", location=str(path)) from cause


def _no_file(path: Path, what: str) -> str | None:
    """Why there is nothing to read; None if there is a file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"there is no such {what}"
    except (OSError, ValueError) as error:
        return f"cannot read the {what}: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISDIR(mode):
        return f"this is a folder, not a {what}"
    return None if stat.S_ISREG(mode) else f"this is a device or a pipe, not a {what}"


def _parquet(connection: DuckDBPyConnection, file: _File) -> Table:
    relation = connection.from_parquet(str(file.link), hive_partitioning=False)
    # DuckDB renames columns that differ in case only.
    schema = connection.execute(
        "SELECT name, coalesce(num_children, 0) FROM parquet_schema($file)",
        {"file": str(file.link)},
    ).fetchall()
    fields = _named(relation, _top_names(schema))
    return Table(connection, relation, file.location, fields)


def _top_names(schema: Sequence[tuple[str, int]]) -> list[str]:
    """Names of the columns in a list of all elements, each before its children, the root first."""
    names, position = [], 1
    while position < len(schema):
        names.append(schema[position][0])
        below = 1
        while below:
            below += schema[position][1] - 1
            position += 1
    return names


def _json(connection: DuckDBPyConnection, file: _File) -> Table:
    """Opens JSON lines or a JSON array; values keep the form that they are written in."""
    from duckdb import ColumnExpression, ConstantExpression, FunctionExpression

    query = _JSON_ARRAY if file.suffix == ".json" else _JSON_LINES
    relation = connection.sql(query, params={"file": str(file.link)})
    sample = relation.limit(_SAMPLED_OBJECTS).filter("json_type(json) = 'OBJECT'")
    names = dict.fromkeys(
        str(name) for (keys,) in sample.select("json_keys(json)").fetchall() for name in keys
    )
    if not names:
        raise file.error("the file holds no JSON objects", location=file.location)
    fields = {}
    for name in names:
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        value = FunctionExpression(
            "json_extract_string", ColumnExpression("json"), ConstantExpression(pointer)
        )
        fields[name] = (value, "VARCHAR")
    return Table(connection, relation, file.location, fields)


def _text(connection: DuckDBPyConnection, file: _File) -> Table:
    encoding, plain = encoding_of(file.link), file.link
    if encoding != "utf-8":
        plain = file.link.with_name("copy")
        write_utf_8(file.link, encoding, plain)
    head, atomic = head_of(plain), file.suffix in _ATOMIC
    separator = file.columns.separator or ("\t" if atomic else separator_of(head))
    quote = "" if atomic or len(separator) > 1 else '"'
    names = list(file.columns.names)
    if not names:
        names = column_names(head, separator, quote, file.location, file.error)
    if atomic:  # its fields are name:type
        names = [name.split(":")[0] for name in names]
    check_names(names, f"{file.location}, line 1", file.error)
    if mixes_newlines(plain):  # DuckDB reads one kind only
        alike = file.link.with_name("alike")
        write_utf_8(plain, "utf-8", alike, newline=None)
        plain = alike
    relation = connection.read_csv(
        str(plain),
        header=not file.columns.names,
        # By position: names in the file may differ in case only.
        columns={f"c{position}": "VARCHAR" for position in range(len(names))},
        delimiter=separator,
        quotechar=quote,
        escapechar=quote,
        auto_detect=False,
        strict_mode=True,
        store_rejects=True,
    )
    notes = () if encoding == "utf-8" else (f"read as {encoding}",)
    fields = _named(relation, names)
    return Table(connection, relation, file.location, fields, stores_rejects=True, notes=notes)


def _named(relation: DuckDBPyRelation, names: Sequence[str]) -> Mapping[str, tuple[Any, str]]:
    from duckdb import SQLExpression

    def column(name: str) -> Expression:
        # A `ColumnExpression` of the name `*` is every column.
        quoted = name.replace('"', '""')
        return SQLExpression(f'"{quoted}"')

    columns = zip(names, relation.columns, map(str, relation.types), strict=True)
    return {name: (column(given), kind) for name, given, kind in columns}


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != _COMPRESSED]
    return suffixes[-1] if suffixes else ""
