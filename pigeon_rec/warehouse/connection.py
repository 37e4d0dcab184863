"""DuckDB connections, transactions and errors.

Every connection is made here, so that dates are UTC on every machine, and every DuckDB error is
turned into a `WarehouseError` here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError, may_pass
from pigeon_rec.runtime.files import real_path
from pigeon_rec.runtime.leftovers import spill_folder
from pigeon_rec.warehouse._frames import fetch, run_script
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = [
    "STORAGE_VERSION",
    "WarehouseBusyError",
    "check_ours",
    "connect",
    "connect_memory",
    "driver_errors",
    "is_missing",
    "limit_memory",
    "open_private",
    "open_reader",
    "sibling",
    "transaction",
]

STORAGE_VERSION: Final = "v1.2.0"
"""Oldest DuckDB release that can read our files; DuckDB's own default is its newest format."""


class WarehouseBusyError(WarehouseError):
    """The warehouse is locked or was changed by another writer; the step may succeed later."""

    retryable = True


def connect(path: Path, *, read_only: bool = False) -> DuckDBPyConnection:
    """Opens a DuckDB file in UTC; a missing one is created unless `read_only`.

    Raises:
        WarehouseBusyError: Another process holds the file, or this one holds it in another mode.
        WarehouseError: The file is missing, is not a DuckDB file, or cannot be created.
    """
    # Links are resolved here: DuckDB shares one instance per path within a process, and the serving
    # link must open the snapshot that it points to now.
    file = _existing(path) if read_only else real_path(path)
    if not read_only:
        _make_folder(file.parent)
    with driver_errors(path):
        return _spilling(_settled(_open(file, read_only=read_only)), file)


def connect_memory() -> DuckDBPyConnection:
    """Opens an empty database in memory."""
    return _settled(duckdb.connect())


def limit_memory(connection: DuckDBPyConnection, gigabytes: float) -> None:
    """Limits the memory of the instance; what needs more is spilled to the disk."""
    limit = {"limit": f"{round(gigabytes * 1000)}MB"}
    fetch(connection, sql_text("internal/memory_limit"), limit)


def sibling(connection: DuckDBPyConnection) -> DuckDBPyConnection:
    """Returns a second connection to the instance of `open_private`, for another thread."""
    second = _settled(connection.cursor())
    fetch(second, "USE warehouse")
    return second


def open_reader(path: Path) -> DuckDBPyConnection:
    """Opens a warehouse or snapshot for reading.

    Raises:
        WarehouseBusyError: The file is open for writing; read the promoted snapshot instead.
        WarehouseError: The file is missing or not a warehouse.
    """
    connection = connect(path, read_only=True)
    with _closed_on_error(connection):
        _check_schema(connection, path)
    return connection


def open_private(path: Path, *, threaded: bool = True) -> DuckDBPyConnection:
    """As `open_reader`, in a DuckDB instance that no other connection of this process shares.

    Its settings therefore concern nobody else. Without `threaded` it has no background threads,
    which a forked child would lack.
    """
    file = _existing(path)
    connection = duckdb.connect(config={} if threaded else {"threads": 1, "async_threads": 0})
    with _closed_on_error(connection), driver_errors(path):
        run_script(connection, sql_text("internal/attach_reader"), {"file": str(file)})
        _check_schema(_settled(connection), path)
    return connection


def is_missing(path: Path) -> bool:
    """Returns whether there is no warehouse yet.

    Raises:
        WarehouseError: It is missing, but it has snapshots: starting anew would forget all nights.
    """
    if path.exists():
        return False
    snapshots = list((path.parent / "snapshots").glob("*.duckdb"))
    if snapshots:
        newest = max(snapshots, key=lambda snapshot: (snapshot.stat().st_mtime_ns, snapshot.name))
        raise WarehouseError(
            "the warehouse is missing, although it has snapshots",
            location=str(path.absolute()),
            remedy=f"Restore it: install -m 644 {newest.absolute()} {path.absolute()}; or move "
            "the folder away to start anew",
        )
    return True


def has_schema(connection: DuckDBPyConnection) -> bool:
    """Returns whether any migration of pigeon_rec was applied to the open database."""
    [(found,)] = fetch(connection, sql_text("internal/has_schema"))
    return bool(found)


def check_ours(connection: DuckDBPyConnection, path: Path) -> None:
    """Checks that the open database is a warehouse, or empty.

    Raises:
        WarehouseError: It has tables, but not ours.
    """
    if not has_schema(connection):
        [(foreign,)] = fetch(connection, sql_text("internal/has_objects"))
        if foreign:
            raise _not_ours(path)


def _check_schema(connection: DuckDBPyConnection, path: Path) -> None:
    if not has_schema(connection):
        raise _not_ours(path)


def _not_ours(path: Path) -> WarehouseError:
    return WarehouseError(
        "this DuckDB file is not a pigeon_rec warehouse",
        location=str(path.absolute()),
        remedy="Name the work directory of a published night",
    )


@contextlib.contextmanager
def transaction(connection: DuckDBPyConnection) -> Iterator[DuckDBPyConnection]:
    """Commits at the end of the block, and rolls back on any exception or a failed commit."""
    connection.begin()
    try:
        yield connection
        connection.commit()
    except BaseException:
        # After a failed commit DuckDB has ended the transaction, and a rollback is an error.
        with contextlib.suppress(duckdb.Error):
            connection.rollback()
        raise


@contextlib.contextmanager
def driver_errors(location: object) -> Iterator[None]:
    """Turns DuckDB errors at `location` into `WarehouseError`, with the original as the cause."""
    try:
        yield
    except duckdb.Error as error:
        raise _explained(error, str(location)) from error


def _existing(path: Path) -> Path:
    file = real_path(path)
    if not file.is_file():
        raise WarehouseError(
            "there is no warehouse",
            location=str(path),
            remedy="Run `pigeon-rec nightly run` first, or name the right work directory",
        )
    return file


@contextlib.contextmanager
def _closed_on_error(connection: DuckDBPyConnection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _open(file: Path, *, read_only: bool) -> DuckDBPyConnection:
    if read_only:
        # Settings would conflict with those of another reader in the same process.
        return duckdb.connect(str(file), read_only=True)
    return duckdb.connect(str(file), config={"storage_compatibility_version": STORAGE_VERSION})


def _settled(connection: DuckDBPyConnection) -> DuckDBPyConnection:
    run_script(connection, sql_text("internal/session"), {})
    return connection


def _spilling(connection: DuckDBPyConnection, file: Path) -> DuckDBPyConnection:
    """Lets only the owner read what the connection spills; by default everybody may."""
    # Without such a folder (a read-only disk), or with one that another connection uses already,
    # DuckDB's own choice remains.
    with contextlib.suppress(OSError, duckdb.Error):
        facts = {"folder": str(spill_folder(file))}
        fetch(connection, sql_text("internal/spill_folder"), facts)
    return connection


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(
            f"cannot create the folder of the warehouse: {error.strerror}",
            location=str(folder),
            remedy="Choose a work directory that can be written",
            retryable=may_pass(error),
        ) from error


def _explained(error: duckdb.Error, location: str) -> WarehouseError:
    text = str(error)
    if "lock on file" in text:
        return _locked(text, location)
    if "different configuration" in text or "Unique file handle conflict" in text:
        return WarehouseBusyError(
            "the warehouse is already open in this process in another mode",
            location=location,
            remedy="Close that connection first, or read the promoted snapshot",
        )
    if "No space left" in text or "Disk quota exceeded" in text:
        return WarehouseError(
            f"the disk is full ({_first_line(text)})",
            location=location,
            remedy="Free space on it, then run the step again; the tables are unchanged",
            retryable=True,
        )
    if isinstance(error, duckdb.TransactionException) and "Could not write" not in text:
        return WarehouseBusyError(
            f"another writer changed the warehouse at the same time ({_first_line(text)})",
            location=location,
            remedy="Nothing was written; run the step again",
        )
    if "not a valid DuckDB database file" in text:
        return WarehouseError(
            "this is not a DuckDB file",
            location=location,
            remedy="Move it away, or name another work directory",
        )
    if "version number" in text:
        return WarehouseError(
            f"this DuckDB cannot read the file ({_first_line(text)})",
            location=location,
            remedy="Install the DuckDB version that wrote it, or a newer one",
        )
    return WarehouseError(f"DuckDB refused: {_first_line(text)}", location=location)


def _locked(text: str, location: str) -> WarehouseBusyError:
    holder = re.search(r"\(PID (\d+)\)", text)
    who = f"process {holder[1]}" if holder else "another process"
    return WarehouseBusyError(
        f"the warehouse is locked by {who}",
        location=location,
        remedy="Wait until that run has ended (or stop it) and run this step again; "
        "readers use the promoted snapshot serving.duckdb, which is never locked",
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"
