"""Promotion: readers get a checked, read-only copy of the warehouse.

Readers open the link `serving.duckdb`. It points to a file in `snapshots/` that is never written
again, so readers neither wait for the writer nor read half a night. The link is swapped by one
rename.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Final

from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError, storage_error
from pigeon_rec.runtime.files import storage_errors, sync_folder
from pigeon_rec.warehouse._frames import fetch
from pigeon_rec.warehouse.connection import (
    WarehouseBusyError,
    driver_errors,
    is_missing,
    limit_memory,
    open_private,
)
from pigeon_rec.warehouse.migrations import open_warehouse
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["SNAPSHOTS_KEPT", "content_digest", "promote"]

SNAPSHOTS_KEPT: Final = 3

_COPY_BYTES: Final = 1 << 20


def promote(
    writer_path: Path,
    serving_link: Path,
    *,
    keep: int = SNAPSHOTS_KEPT,
    memory_gb: float | None = None,
) -> Path:
    """Points the serving link to a snapshot of the present warehouse.

    Does nothing if that content is promoted already. The warehouse is locked during the copy.

    Args:
        writer_path: The warehouse that nights are published into.
        serving_link: The link to swap; snapshots lie in the folder `snapshots` beside it.
        keep: Number of snapshots to keep, newest first; the served one is always kept. Keep at
            least 2 if there are long-lived readers: one may be opening the previous snapshot.
        memory_gb: Gigabytes of memory that DuckDB may use; None leaves it to DuckDB.

    Returns:
        The snapshot that the link now points to.

    Raises:
        WarehouseBusyError: The warehouse is open for writing, or the copy differs from it.
        WarehouseError: There is no warehouse or no night in it, or `serving_link` is a file. The
            link is unchanged.
        StorageError: The snapshot cannot be written. The link is unchanged.
    """
    with storage_errors(serving_link.parent):
        return _promote(writer_path, serving_link, keep, memory_gb)


def _promote(writer_path: Path, serving_link: Path, keep: int, memory_gb: float | None) -> Path:
    _check_arguments(writer_path, serving_link, keep)
    snapshots = serving_link.parent / "snapshots"
    snapshots.mkdir(parents=True, exist_ok=True)
    # The source is opened before the database and closed after it: closing any descriptor of a
    # file drops all POSIX locks that this process has on it, DuckDB's among them.
    with writer_path.open("rb") as source, open_warehouse(writer_path) as connection:
        with driver_errors(writer_path):
            _limit(connection, memory_gb)
            fetch(connection, sql_text("internal/checkpoint"))
            digest = content_digest(connection)
            snapshot = snapshots / f"{_newest_run(connection, writer_path)}-{digest[:16]}.duckdb"
        _remove_unfinished(snapshots)
        if not _holds(snapshot, digest, memory_gb):
            _copy(source, snapshot, digest, memory_gb)
        _point(serving_link, snapshot)
        _prune(snapshots, keep, served=snapshot)
    return snapshot


def content_digest(connection: DuckDBPyConnection) -> str:
    """Returns the SHA-256 over all rows and pictures of the open database.

    It does not depend on wall-clock columns or on the order of rows.
    """
    lines = fetch(connection, sql_text("internal/content_digest"))
    return hashlib.sha256("\n".join(map(str, lines)).encode()).hexdigest()


def _check_arguments(writer_path: Path, serving_link: Path, keep: int) -> None:
    if keep < 1:
        raise WarehouseError(
            f"at least 1 snapshot must be kept, received {keep}", location="snapshots to keep"
        )
    if is_missing(writer_path) or not writer_path.is_file():
        raise WarehouseError(
            "there is no warehouse to promote",
            location=str(writer_path.absolute()),
            remedy="Run `pigeon-rec nightly publish` first",
        )
    if serving_link.exists() and not serving_link.is_symlink():
        raise WarehouseError(
            "the link to the served snapshot is a file",
            location=str(serving_link.absolute()),
            remedy="Move it away; promotion does not overwrite files that it did not make",
        )


def _newest_run(connection: DuckDBPyConnection, writer_path: Path) -> str:
    rows = fetch(connection, sql_text("internal/newest_run"))
    if not rows:
        raise WarehouseError(
            "the warehouse holds no night",
            location=str(writer_path),
            remedy="Run `pigeon-rec nightly publish` first",
        )
    return str(rows[0][0])


def _limit(connection: DuckDBPyConnection, memory_gb: float | None) -> None:
    if memory_gb is not None:
        limit_memory(connection, memory_gb)


def _holds(snapshot: Path, digest: str, memory_gb: float | None) -> bool:
    """Returns whether the file exists, opens read-only and has this content."""
    if not snapshot.is_file():
        return False
    try:
        # An instance of its own, so that the limit concerns no reader of this process.
        with open_private(snapshot) as connection, driver_errors(snapshot):
            _limit(connection, memory_gb)
            return content_digest(connection) == digest
    except WarehouseError:
        return False


def _copy(source: BinaryIO, snapshot: Path, digest: str, memory_gb: float | None) -> None:
    """Copies under a temporary name, checks the copy, then renames it."""
    # Not `runtime.files.replacing`: a copy left by a kill must not be listed as a snapshot, and is
    # found by its suffix.
    unfinished = snapshot.with_suffix(".tmp")
    try:
        with unfinished.open("wb") as target:
            source.seek(0)
            shutil.copyfileobj(source, target, _COPY_BYTES)
            target.flush()
            os.fsync(target.fileno())
            whole = os.fstat(target.fileno()).st_size == os.fstat(source.fileno()).st_size
    except OSError as error:
        unfinished.unlink(missing_ok=True)  # a full disk needs its space
        raise storage_error(error, str(snapshot)) from error
    if not (whole and _holds(unfinished, digest, memory_gb)):
        unfinished.unlink()
        raise WarehouseBusyError(
            "the copy of the warehouse differs from it",
            location=str(snapshot),
            remedy="The file was changed during the copy; promote again",
        )
    unfinished.chmod(0o444)
    unfinished.replace(snapshot)
    sync_folder(snapshot.parent)


def _point(link: Path, snapshot: Path) -> None:
    target = Path(snapshot.parent.name) / snapshot.name
    if link.is_symlink() and link.readlink() == target:
        return
    # A fixed name, so that the next promotion removes a link left by a kill.
    new = link.with_name(f".{link.name}.tmp")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    sync_folder(link.parent)


def _prune(snapshots: Path, keep: int, *, served: Path) -> None:
    by_age = sorted(
        snapshots.glob("*.duckdb"), key=lambda p: (p.stat().st_mtime_ns, p.name), reverse=True
    )
    others = [path for path in by_age if path != served]
    for path in others[keep - 1 :]:
        path.unlink()


def _remove_unfinished(snapshots: Path) -> None:
    # Left by a killed promotion; none is in progress, since this one holds the lock. A reader that
    # spills from a snapshot may have a folder of such a name.
    for path in snapshots.glob("*.tmp"):
        if not path.is_dir():
            path.unlink()
