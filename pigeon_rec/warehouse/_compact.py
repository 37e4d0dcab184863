"""Compaction: gives free space inside the warehouse file back to the disk.

DuckDB reuses the space of deleted rows but never shrinks a file whose tables have keys, so the file
is copied into a new one, which replaces it by one rename.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.files import real_path, sync_folder
from pigeon_rec.warehouse._frames import fetch, run_script
from pigeon_rec.warehouse.connection import connect_memory, driver_errors
from pigeon_rec.warehouse.snapshots import content_digest
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["compact"]


def compact(
    path: Path,
    *,
    always: bool = False,
    digest: Callable[[DuckDBPyConnection], str] = content_digest,
) -> int:
    """Rewrites a warehouse without its free space, if that makes it smaller.

    With `always` it is rewritten in any case, so that nothing of deleted rows is left in it.
    `digest` tells whether the copy has the same content.

    The old file stays locked until the new one, which has the same content, has replaced it. No
    connection of this process may hold it.

    Returns:
        Number of bytes that the file shrank by.

    Raises:
        WarehouseBusyError: Another process holds the file.
        WarehouseError: The copy differs in content; the file is unchanged.
    """
    file = real_path(path)
    # Not `runtime.files.replacing`: DuckDB makes the file and a `.wal` beside it. Their names are
    # fixed, so that the next call removes what a kill left.
    new = file.with_name(f".{file.name}.compact.tmp")
    _remove(new)
    try:
        with connect_memory() as connection, driver_errors(path):
            files = {"old_file": str(file), "new_file": str(new)}
            run_script(connection, sql_text("internal/compact"), files)
            _check_same(connection, path, digest)
            fetch(connection, "DETACH new_file")
            return _swap(new, file, always=always)
    finally:
        _remove(new)


def _check_same(
    connection: DuckDBPyConnection, path: Path, digest: Callable[[DuckDBPyConnection], str]
) -> None:
    digests = set()
    for use in ("USE old_file", "USE new_file"):
        fetch(connection, use)
        digests.add(digest(connection))
    fetch(connection, "USE memory")
    if len(digests) != 1:
        raise WarehouseError("the compacted copy differs in content", location=str(path))


def _swap(new: Path, file: Path, *, always: bool) -> int:
    freed = file.stat().st_size - new.stat().st_size
    if freed <= 0 and not always:
        return 0
    with new.open("rb") as stream:
        os.fsync(stream.fileno())
    new.replace(file)
    sync_folder(file.parent)
    return freed


def _remove(new: Path) -> None:
    for file in (new, new.with_name(f"{new.name}.wal")):
        file.unlink(missing_ok=True)
