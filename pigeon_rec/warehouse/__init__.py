"""The DuckDB warehouse: schema by migrations, one transaction per night, snapshots for readers."""

from __future__ import annotations

from pigeon_rec.warehouse._images import image_faults
from pigeon_rec.warehouse.connection import (
    WarehouseBusyError,
    connect,
    driver_errors,
    open_reader,
    transaction,
)
from pigeon_rec.warehouse.migrations import migrate, open_warehouse, schema_version
from pigeon_rec.warehouse.publish import PublishedNight, known_assets, publish
from pigeon_rec.warehouse.read import ask, query, served_assets
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS, NightRecords
from pigeon_rec.warehouse.snapshots import content_digest, promote
from pigeon_rec.warehouse.sql_files import query_names, sql_root

__all__ = [
    "NIGHT_SCHEMAS",
    "NightRecords",
    "PublishedNight",
    "WarehouseBusyError",
    "ask",
    "connect",
    "content_digest",
    "driver_errors",
    "image_faults",
    "known_assets",
    "migrate",
    "open_reader",
    "open_warehouse",
    "promote",
    "publish",
    "query",
    "query_names",
    "schema_version",
    "served_assets",
    "sql_root",
    "transaction",
]
