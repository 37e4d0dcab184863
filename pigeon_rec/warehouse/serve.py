"""Serving: a long-lived reader of the snapshot that was promoted last.

`AssetReader` keeps the snapshot open. After a promotion, which swaps the serving link, the next
call opens the new snapshot, and calls in progress finish on the old one. Every call therefore reads
one whole night.

A reader works in forked children too (servers that load the application before they fork): a child
opens the snapshot again, and leaves the parent's connections alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.storage import get_files
from pigeon_rec.warehouse._arrow import ArrowStream
from pigeon_rec.warehouse._frames import registered, select
from pigeon_rec.warehouse.connection import driver_errors, open_private, sibling
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.stores import with_bytes

__all__ = ["AssetReader", "ServedAsset"]

_WANTED: Final = pl.Schema({"user_id": pl.String(), "item_id": pl.String()})
_ATTEMPTS: Final = 5
_MISSING: Final = ()


@dataclass(frozen=True)
class ServedAsset:
    """The picture that one user is shown for one item.

    Attributes:
        origin: `own`, `cohort` or `original`.
        image: Encoded bytes, if they are in the table.
        image_uri: Address of the bytes, if they are not; of an `original`, the catalogue's.
        format: `png` or `webp`.
        score: Selection score.
        run_id: The night that serves it.
    """

    user_id: str
    item_id: str
    origin: str = "own"
    image: bytes | None = field(default=None, repr=False)
    image_uri: str | None = None
    format: str | None = None
    score: float | None = None
    asset_key: str | None = None
    image_sha256: str | None = None
    run_id: str | None = None
    logical_date: date | None = None

    def read(self) -> bytes:
        """Returns the bytes, fetched if they lie outside the table.

        Raises:
            WarehouseError: The bytes cannot be read, or this is the catalogue's own picture.
        """
        if self.image is not None:
            return self.image
        uri = self.image_uri or ""
        if self.asset_key is None:
            raise WarehouseError(
                f"there is no picture for {self.user_id} / {self.item_id}, only the {self.origin}",
                location=uri or None,
                remedy="Show the catalogue's own picture at image_uri",
            )
        found = get_files([uri]) if uri else {}
        if uri not in found:
            raise WarehouseError(
                f"the picture of {self.user_id} / {self.item_id} cannot be read",
                location=uri or None,
                remedy="Run `pigeon-rec warehouse check`",
            )
        return found[uri]


class AssetReader:
    """Looks up served pictures; may be shared between threads and with forked processes.

    Args:
        link: The serving link, `<work_dir>/warehouse/serving.duckdb`, or a warehouse or snapshot.

    Raises:
        WarehouseError: The file is missing or not a warehouse.
    """

    def __init__(self, link: str | Path) -> None:
        self._link = Path(link)
        self._locks: dict[int, threading.Lock] = {}
        self._inherited: list[_Snapshot] = []
        self._closed = False
        self._one = sql_text("internal/one_asset")
        self._many = sql_text("internal/many_assets")
        self._of_user = sql_text("internal/user_assets")
        self._current = self._open()

    def get(self, user_id: str, item_id: str) -> ServedAsset | None:
        """Returns the picture for one user and item; None if the item is not in the catalogue.

        Raises:
            WarehouseError: The snapshot cannot be read.
        """
        params = {"user_id": user_id, "item_id": item_id}
        with self._cursor() as cursor:
            answer = cursor.execute(self._one, params)
            names = [column[0] for column in answer.description or ()]
            rows = answer.fetchall()
        asset = _asset(dict(zip(names, rows[0], strict=True))) if rows else None
        return None if asset is None or asset.origin == "unknown" else asset

    def get_many(
        self, pairs: pl.DataFrame | Iterable[tuple[str, str]], *, fetch: bool = False
    ) -> pl.DataFrame:
        """Returns the pictures for many users and items, with one query.

        Args:
            pairs: `(user_id, item_id)`, or a frame with these columns; a pair may be repeated.
            fetch: Also fill `image` with bytes that lie outside the table.

        Returns:
            The columns of `asset_for`, one row per pair, in the order of `pairs`.

        Raises:
            WarehouseError: The snapshot cannot be read.
        """
        wanted = _wanted(pairs)
        with self._cursor() as cursor, registered(cursor, wanted_pairs=wanted):
            rows = select(cursor, self._many)
        return with_bytes(rows) if fetch else rows

    def get_many_arrow(
        self, pairs: pl.DataFrame | Iterable[tuple[str, str]], *, fetch: bool = False
    ) -> ArrowStream:
        """As `get_many`, as an Arrow C stream: `pyarrow.table(reader.get_many_arrow(pairs))`."""
        return ArrowStream(self.get_many(pairs, fetch=fetch))

    def for_user(self, user_id: str, *, fetch: bool = False) -> pl.DataFrame:
        """Returns every picture of one user, best first; columns of `assets_for_user`.

        Raises:
            WarehouseError: The snapshot cannot be read.
        """
        with self._cursor() as cursor:
            rows = select(cursor, self._of_user, {"user_id": user_id})
        return with_bytes(rows) if fetch else rows

    def close(self) -> None:
        """Closes the snapshot after the calls in progress; later calls raise an error."""
        with self._lock():
            self._closed = True
            if self._current.process == os.getpid():
                self._current.retire()

    def __enter__(self) -> AssetReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[DuckDBPyConnection]:
        """Yields a connection to the newest snapshot that no other call uses."""
        snapshot = self._newest()
        try:
            with driver_errors(self._link), snapshot.cursor() as cursor:
                yield cursor
        finally:
            snapshot.leave()

    def _lock(self) -> threading.Lock:
        """Returns the lock of this process; a forked child cannot wait for its parent's threads."""
        return self._locks.setdefault(os.getpid(), threading.Lock())  # atomic

    def _newest(self) -> _Snapshot:
        """Returns the snapshot that the link points to now, entered for one call."""
        with self._lock():
            if self._closed:
                raise WarehouseError("this reader is closed", location=str(self._link))
            if self._current.process != os.getpid():
                # Kept, since closing it could wait for a thread that exists only in the parent.
                opened = self._open()
                self._inherited.append(self._current)
                self._current = opened
            elif _identity(self._link) not in (_MISSING, self._current.identity):
                self._replace()
            self._current.enter()
            return self._current

    def _replace(self) -> None:
        """Opens the new snapshot; keeps the present one if the new file is gone again."""
        try:
            opened = self._open()
        except WarehouseError:
            if _identity(self._link) == _MISSING:
                return
            raise
        self._current.retire()
        self._current = opened

    def _open(self) -> _Snapshot:
        # The snapshot may be replaced and removed between reading the link and opening its file.
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(WarehouseError):
                return _Snapshot(self._link)
        return _Snapshot(self._link)


class _Snapshot:
    """One open file; closed when it is retired and the last call has left it."""

    def __init__(self, link: Path) -> None:
        self.process = os.getpid()
        self.identity = _identity(link)
        self._connection = open_private(link, threaded=False)
        self._lock = threading.Lock()
        self._idle: list[DuckDBPyConnection] = []
        self._users = 0
        self._retired = False

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            self._close_if_unused()

    def retire(self) -> None:
        with self._lock:
            self._retired = True
            self._close_if_unused()

    @contextlib.contextmanager
    def cursor(self) -> Iterator[DuckDBPyConnection]:
        """Yields a connection that no other call uses; one that failed is closed."""
        with self._lock:
            connection = self._idle.pop() if self._idle else sibling(self._connection)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            for connection in (*self._idle, self._connection):
                connection.close()
            self._idle.clear()


def _identity(link: Path) -> tuple[object, ...]:
    """Returns a value that changes when the link is swapped or its file replaced, or `_MISSING`."""
    try:
        found = link.stat()
        target = link.readlink() if link.is_symlink() else None
    except OSError:
        return _MISSING
    return target, found.st_dev, found.st_ino, found.st_mtime_ns


def _wanted(pairs: pl.DataFrame | Iterable[tuple[str, str]]) -> pl.DataFrame:
    if not isinstance(pairs, pl.DataFrame):
        pairs = pl.DataFrame(list(pairs), schema=_WANTED, orient="row")
    # Casts of series, since expressions wait for threads that a forked child lacks.
    columns = [pairs[name].cast(kind) for name, kind in _WANTED.items()]
    return pl.DataFrame(columns).with_row_index("position")


def _asset(row: dict[str, Any]) -> ServedAsset:
    known = {column.name for column in fields(ServedAsset)}
    return ServedAsset(**{name: value for name, value in row.items() if name in known})
