"""Opens a table of any usual format with DuckDB, which reads it in parts.

Text files are read as text, so that an id keeps its leading zeros. Lines that cannot be read are
left out and reported.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pigeon_rec.columns import TableColumns
from pigeon_rec.errors import PigeonError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation, Expression

__all__ = ["FORMATS", "Table", "open_table"]

FORMATS: Final = "CSV, TSV, JSON lines, parquet, RecBole's .item and .inter, or a DuckDB query"
_SEPARATORS: Final = ("::", "\t", ",", ";", "|")
_ATOMIC: Final = (".item", ".inter", ".user")
_COMPRESSED: Final = (".gz", ".zst")
_NO_TABLE: Final = (".xlsx", ".xls", ".feather", ".arrow", ".npy", ".pkl", ".db", ".duckdb", ".zip")
_BLOCK: Final = 2**20
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
        first = str(cause).strip().split("\n")[0]
        raise error(f"cannot read the table: {first}", location=location) from cause
    except OSError as cause:
        raise error(f"cannot read the table: {cause.strerror or cause}", location=location) from (
            cause
        )
    finally:
        connection.close()
        scratch.cleanup()


def _query(
    connection: DuckDBPyConnection, query: str, database: Path, error: type[PigeonError]
) -> Table:
    if not database.is_file():
        raise error("there is no such database", location=str(database.absolute()))
    connection.execute("ATTACH $file AS given (READ_ONLY)", {"file": str(database)})
    connection.execute("USE given")
    relation = connection.sql(query.strip().rstrip(";"))
    if relation is None:
        raise error(
            "the query returns no rows", location=str(database), remedy="Write it as SELECT ..."
        )
    return Table(connection, relation, f"{database}: {query}", _named(relation))


def _file(
    connection: DuckDBPyConnection,
    path: Path,
    scratch: Path,
    columns: TableColumns,
    error: type[PigeonError],
) -> Table:
    if not path.is_file():
        raise error("there is no such file", location=str(path.absolute()))
    if path.stat().st_size == 0:
        raise error("the file is empty", location=str(path))
    suffix = _suffix(path)
    if suffix in _NO_TABLE:
        raise error(
            f"a {suffix} file is not a table that can be read",
            location=str(path),
            remedy=f"Give {FORMATS}",
        )
    if suffix in (".parquet", ".pq"):
        relation = connection.from_parquet(str(path))
        return Table(connection, relation, str(path), _named(relation))
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _json(connection, path)
    encoding = _encoding(path)
    if encoding == "utf-8":
        return _text(connection, path, columns, error)
    copy = scratch / path.name
    _write_utf_8(path, encoding, copy)
    table = _text(connection, copy, columns, error)
    return dataclasses.replace(table, location=str(path), notes=(f"read as {encoding}",))


def _json(connection: DuckDBPyConnection, path: Path) -> Table:
    """Opens JSON lines or a JSON array; values keep the form that they are written in."""
    from duckdb import ColumnExpression, ConstantExpression, FunctionExpression

    query = _JSON_ARRAY if _suffix(path) == ".json" else _JSON_LINES
    relation = connection.sql(query, params={"file": str(path)})
    sample = relation.limit(_SAMPLED_OBJECTS).filter("json_type(json) = 'OBJECT'")
    names = sample.select("unnest(json_keys(json)) AS name").distinct().order("name").fetchall()
    fields = {}
    for (name,) in names:
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        value = FunctionExpression(
            "json_extract_string", ColumnExpression("json"), ConstantExpression(pointer)
        )
        fields[str(name)] = (value, "VARCHAR")
    return Table(connection, relation, str(path), fields)


def _text(
    connection: DuckDBPyConnection, path: Path, columns: TableColumns, error: type[PigeonError]
) -> Table:
    head = _head(path)
    atomic = _suffix(path) in _ATOMIC
    separator = columns.separator or ("\t" if atomic else _separator(head))
    quote = "" if atomic or len(separator) > 1 else '"'
    names = list(columns.names) or _fields(head, separator, quote)
    _check_names(names, path, _first_line(head), error)
    relation = connection.read_csv(
        str(path),
        header=not columns.names,
        columns=dict.fromkeys(names, "VARCHAR"),
        delimiter=separator,
        quotechar=quote,
        escapechar=quote,
        auto_detect=False,
        strict_mode=True,
        store_rejects=True,
    )
    # The fields of an atomic file are name:type.
    fields = {
        name.split(":")[0] if atomic else name: value for name, value in _named(relation).items()
    }
    return Table(connection, relation, str(path), fields, stores_rejects=True)


def _check_names(names: list[str], path: Path, first: str, error: type[PigeonError]) -> None:
    location = f"{path}, line 1"
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise error(
            f"the header has the column {', '.join(map(repr, repeated))} more than once",
            location=location,
            remedy="Rename one of them, or name the columns if the file has no header",
        )
    if "" in names:
        position = names.index("") + 1
        # The unnamed index column that pandas writes.
        names[position - 1] = f"column {position}"
        _check_names(names, path, first, error)
    if len(names) <= 1:
        raise error(
            f"the first line has fewer than two fields: {first[:80]!r}",
            location=location,
            remedy="Give the separator, and the names of the columns if there is no header",
        )


def _named(relation: DuckDBPyRelation) -> Mapping[str, tuple[Any, str]]:
    from duckdb import ColumnExpression

    kinds = map(str, relation.types)
    return {
        name: (ColumnExpression(name), kind)
        for name, kind in zip(relation.columns, kinds, strict=True)
    }


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _COMPRESSED]
    return suffixes[-1] if suffixes else ""


def _encoding(path: Path) -> str:
    """UTF-16 by its mark; Latin-1 if the file has bytes above 127 and none of them is UTF-8."""
    if path.suffix.lower() in _COMPRESSED:
        return "utf-8"
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    found = False
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        file.seek(0)
        while block := file.read(_BLOCK):
            if block.isascii():
                continue
            # Bytes that are not UTF-8 become the letters U+DC80 to U+DCFF.
            above = {letter for letter in decoder.decode(block) if letter > "\x7f"} - {"\ufeff"}
            if any(not "\udc80" <= letter <= "\udcff" for letter in above):
                return "utf-8"
            found = found or bool(above)
    return "latin-1" if found else "utf-8"


def _write_utf_8(path: Path, encoding: str, copy: Path) -> None:
    with (
        path.open(encoding=encoding, newline="") as file,
        copy.open("w", encoding="utf-8", newline="") as out,
    ):
        shutil.copyfileobj(file, out, _BLOCK)


def _head(path: Path) -> str:
    """The beginning of a text file."""
    import fsspec

    with fsspec.open(str(path), "rb", compression="infer") as file:
        head: bytes = file.read(_BLOCK)
    return head.decode(errors="replace").removeprefix("\ufeff")


def _separator(head: str) -> str:
    """The separator that cuts the header into most fields; those inside quotes do not count."""
    counts = {each: len(_fields(head, each, "" if len(each) > 1 else '"')) for each in _SEPARATORS}
    return max(counts, key=lambda each: counts[each])


def _fields(head: str, separator: str, quote: str) -> list[str]:
    """The first record; a quoted field may go over several lines."""
    if not quote:
        fields = _first_line(head).split(separator)
    else:
        try:
            fields = next(csv.reader(io.StringIO(head, newline=""), delimiter=separator), [])
        except (csv.Error, TypeError, ValueError):  # an endless field, or no separator at all
            fields = []
    return [name.strip() for name in fields]


def _first_line(head: str) -> str:
    # Not `splitlines`, which would also cut at characters that a name may have.
    return re.split(r"\r\n|\n|\r", head, maxsplit=1)[0]
