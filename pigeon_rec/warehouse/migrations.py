"""Numbered schema migrations; each is applied once, in its own transaction.

The table `schema_migrations` records number, name and checksum of every applied migration. If one
was edited afterwards, or is unknown because a newer version wrote it, nothing is changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError, storage_error
from pigeon_rec.runtime.files import sync_folder
from pigeon_rec.warehouse._frames import fetch, run_script
from pigeon_rec.warehouse.connection import (
    check_ours,
    connect,
    driver_errors,
    has_schema,
    is_missing,
    transaction,
)
from pigeon_rec.warehouse.sql_files import sql_root, sql_text

__all__ = [
    "Migration",
    "available_migrations",
    "migrate",
    "open_feedback",
    "open_warehouse",
    "schema_version",
]

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@dataclass(frozen=True)
class Migration:
    """One step of the schema; versions are numbered from 1."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Returns the SHA-256 of the statements; the same for all line endings."""
        return hashlib.sha256("\n".join(self.sql.splitlines()).encode()).hexdigest()


def open_warehouse(path: Path, *, create: bool = True) -> DuckDBPyConnection:
    """Opens the warehouse for writing and applies pending migrations.

    Raises:
        WarehouseBusyError: Another process holds the file; the message names it.
        WarehouseError: The file is not a warehouse or of a newer version; or it is missing, and
            `create` is false or there are snapshots of it.
    """
    if is_missing(path):
        if not create:
            raise WarehouseError(
                "there is no warehouse",
                location=str(path.absolute()),
                remedy="Run `pigeon-rec nightly publish` first, or name the right work directory",
            )
        _create(path)
    return _opened(path)


def open_feedback(path: Path) -> DuckDBPyConnection:
    """Opens the file of the exposures for writing; a missing one is made.

    Raises:
        WarehouseBusyError: Another process holds the file; the message names it.
        WarehouseError: The file is another one, or of a newer version.
    """
    folder = sql_root() / "feedback" / "migrations"
    if not path.exists():
        _create(path, folder)
    return _opened(path, folder)


def available_migrations(folder: Path | None = None) -> list[Migration]:
    """Returns the migrations of a folder of `0001_name.sql` files, by default the package's own.

    Raises:
        WarehouseError: A file name does not match, or a number is missing or repeated.
    """
    files = sorted((folder or sql_root() / "migrations").glob("*.sql"))
    migrations = [_read_migration(file) for file in files]
    numbers = [migration.version for migration in migrations]
    if numbers != list(range(1, len(numbers) + 1)):
        raise WarehouseError(
            f"migrations must be numbered 1, 2, 3 ... and are numbered {numbers}",
            location=str(folder or sql_root() / "migrations"),
            remedy="Rename the files",
        )
    return migrations


def migrate(connection: DuckDBPyConnection, folder: Path | None = None) -> list[Migration]:
    """Applies all pending migrations and returns them; an up-to-date database is only read.

    Raises:
        WarehouseError: An applied migration was edited since, or is unknown to this version; or
            a migration failed and was rolled back.
    """
    migrations = available_migrations(folder)
    with driver_errors("schema migrations"):
        if not has_schema(connection):
            with transaction(connection):
                fetch(connection, sql_text("internal/schema_migrations"))
        applied = _applied(connection)
        _check_history(applied, migrations)
        pending = [migration for migration in migrations if migration.version not in applied]
        for migration in pending:
            _apply(connection, migration)
    return pending


def schema_version(connection: DuckDBPyConnection) -> int:
    """Returns the number of the newest migration applied to the open database; 0 for none."""
    return max(_applied(connection), default=0) if has_schema(connection) else 0


def _opened(path: Path, folder: Path | None = None) -> DuckDBPyConnection:
    connection = connect(path)
    try:
        check_ours(connection, path)
        migrate(connection, folder)
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path, folder: Path | None = None) -> None:
    """Makes an empty warehouse, whole or not at all: a torn file could never be opened."""
    new = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        with connect(new) as connection:
            migrate(connection, folder)
        # Unlike a rename, a link never replaces the warehouse that another process has just made.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(new)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error, str(path)) from error
    finally:
        for file in (new, new.with_name(f"{new.name}.wal")):
            with contextlib.suppress(NotADirectoryError):  # nothing was written
                file.unlink(missing_ok=True)


def _read_migration(file: Path) -> Migration:
    matched = _FILE_NAME.fullmatch(file.name)
    if matched is None:
        raise WarehouseError(
            "a migration must be named like 0001_create_tables.sql", location=str(file)
        )
    return Migration(int(matched[1]), matched[2], file.read_text(encoding="utf-8"))


def _applied(connection: DuckDBPyConnection) -> dict[int, tuple[str, str]]:
    rows = fetch(connection, sql_text("internal/applied_migrations"))
    return {version: (name, checksum) for version, name, checksum in rows}


def _check_history(applied: Mapping[int, tuple[str, str]], migrations: Sequence[Migration]) -> None:
    known = {migration.version: migration for migration in migrations}
    for version, (name, checksum) in applied.items():
        if version not in known:
            raise WarehouseError(
                f"the warehouse has migration {version:04d}_{name}, which this version of "
                f"pigeon_rec does not know (it knows {len(known)})",
                location="schema_migrations",
                remedy="Upgrade pigeon_rec, or name another work directory",
            )
        if known[version].checksum != checksum:
            raise WarehouseError(
                f"migration {version:04d}_{name} was edited after this warehouse applied it",
                location="schema_migrations",
                remedy="Restore the file, and write the change as a new migration",
            )


def _apply(connection: DuckDBPyConnection, migration: Migration) -> None:
    facts = {"version": migration.version, "name": migration.name, "checksum": migration.checksum}
    with transaction(connection):
        run_script(connection, migration.sql, {})
        fetch(connection, sql_text("internal/record_migration"), facts)
