"""Resolves a night against the warehouse: which pictures and scores are new, which are stored.

A night that is run again reuses the pictures it made the first time. Resolved against the
warehouse, both runs have the same content and so the same hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse._frames import fetch, run_script
from pigeon_rec.warehouse.records import NightFacts
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["resolved"]


@contextmanager
def resolved(connection: DuckDBPyConnection, night: NightFacts) -> Iterator[None]:
    """Makes the resolved tables of a night readable within the block (`publish/resolve.sql`).

    Args:
        connection: Inside the transaction that will write the night; its `staged_*` tables are
            readable.
        night: Its facts.

    Raises:
        WarehouseError: A served picture is neither in the night nor in the warehouse.
    """
    run_script(connection, sql_text("publish/resolve"), {"run_id": night.run_id})
    [(lost, first)] = fetch(connection, sql_text("publish/lost_pictures"))
    if lost:
        raise WarehouseError(
            f"{lost} served pictures are neither in this night nor in the warehouse: "
            + ", ".join(first),
            location=f"night {night.run_id}, run_assets.asset_key",
            remedy="Plan and generate the night again; nothing was written",
        )
    yield
    # After an error the rollback removes them.
    run_script(connection, sql_text("publish/close_resolved"), {})
