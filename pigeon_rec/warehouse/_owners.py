"""Ownership of picture stores, so that no warehouse removes the pictures of another one.

Every warehouse that stores pictures at an address has a marker there, `owners/<identity>`, written
before its first picture.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence

from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime import storage
from pigeon_rec.warehouse._frames import fetch
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.stores import PictureStore, unreachable

__all__ = ["claim"]


def claim(connection: DuckDBPyConnection, store: PictureStore, *, alone: bool = False) -> bool:
    """Marks the store as used by the open warehouse, and returns whether the marker is new.

    A store may be claimed if it is empty and without markers, or if tables of the warehouse refer
    to it: then it is older than markers, and several warehouses may share it.

    Raises:
        WarehouseError: The store belongs to another warehouse, or cannot be reached; or `alone` is
            set and others share it.
    """
    facts = {"address": store.address}
    [(identity, path, stored_there)] = fetch(connection, sql_text("internal/identity"), facts)
    marker = f"{store.address}/owners/{identity}"
    try:
        others = list(storage.list_files(f"{store.address}/owners"))
        if not (new := marker not in others):
            others.remove(marker)
        if new and not stored_there and (others or store.holdings()):
            raise _foreign(store, others, marker)
        if new:
            storage.put_file(marker, f"{path} on {platform.node()}\n".encode())
    except OSError as error:
        raise unreachable(store.address, "written", error) from error
    if alone and others:
        raise _foreign(store, others, marker)
    return new


def _foreign(store: PictureStore, others: Sequence[str], marker: str) -> WarehouseError:
    found = storage.get_files(others)
    names = [f"{found.get(name, b'').decode(errors='replace').strip()} [{name}]" for name in others]
    return WarehouseError(
        "the picture store is used by another warehouse: "
        + (", ".join(names) or "one that has left no marker yet"),
        location=store.address,
        remedy="Choose another address in warehouse.images. If all pictures there belong to this "
        f"warehouse, remove the other markers and write an empty file {marker}",
    )
