"""Ownership of picture stores, so that no warehouse removes the pictures of another one.

Every warehouse that stores pictures at an address has a marker there, `owners/<identity>`. It is
written before the first picture. Pictures are removed only if there is one marker, our own.
"""

from __future__ import annotations

import platform

from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime import storage
from pigeon_rec.warehouse._frames import fetch
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.stores import PictureStore, unreachable

__all__ = ["check_only_owner", "claim"]


def claim(connection: DuckDBPyConnection, store: PictureStore) -> bool:
    """Marks the store as used by the open warehouse.

    A store may be claimed if it is empty and without markers, or if the tables of the warehouse
    refer to it: then it is older than markers. Several warehouses may share such an old store.

    Returns:
        Whether the marker is new.

    Raises:
        WarehouseError: The store belongs to another warehouse, or cannot be reached.
    """
    marker, path, stored_there = _identity(connection, store)
    owners = _markers(store)
    if marker in owners:
        return False
    if not stored_there and (owners or store.holdings()):
        raise _foreign(store, owners, marker)
    try:
        storage.put_file(marker, f"{path} on {platform.node()}\n".encode())
    except OSError as error:
        raise unreachable(store.address, "written", error) from error
    return True


def check_only_owner(connection: DuckDBPyConnection, store: PictureStore) -> None:
    """Checks that no other warehouse has a marker in the store.

    Raises:
        WarehouseError: Another warehouse has one, or the store cannot be reached.
    """
    marker, *_ = _identity(connection, store)
    others = [owner for owner in _markers(store) if owner != marker]
    if others:
        raise _foreign(store, others, marker)


def _identity(connection: DuckDBPyConnection, store: PictureStore) -> tuple[str, str, bool]:
    """Returns the location of our marker, our file, and whether our tables refer to the store."""
    rows = fetch(connection, sql_text("internal/identity"), {"address": store.address})
    [(identity, path, stored_there)] = rows
    return f"{store.address}/owners/{identity}", str(path), bool(stored_there)


def _markers(store: PictureStore) -> list[str]:
    try:
        return list(storage.list_files(f"{store.address}/owners"))
    except OSError as error:
        raise unreachable(store.address, "listed", error) from error


def _foreign(store: PictureStore, owners: list[str], marker: str) -> WarehouseError:
    names = [
        f"{content.decode(errors='replace').strip()} ({owner})"
        for owner, content in storage.get_files(owners).items()
    ]
    who = ", ".join(names or owners) or "a warehouse that has left no marker yet"
    return WarehouseError(
        f"the picture store is used by another warehouse: {who}",
        location=store.address,
        remedy="Choose another address in warehouse.images. If all pictures there belong to this "
        f"warehouse, remove the other markers and write an empty file {marker}",
    )
