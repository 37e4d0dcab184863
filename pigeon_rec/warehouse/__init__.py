"""The DuckDB warehouse: schema by migrations, one transaction per night, snapshots for readers."""

from __future__ import annotations

from pigeon_rec.warehouse._images import image_faults
from pigeon_rec.warehouse.check import check_serving, check_warehouse
from pigeon_rec.warehouse.connection import (
    WarehouseBusyError,
    connect,
    driver_errors,
    open_reader,
    transaction,
)
from pigeon_rec.warehouse.feedback import merge_exposures, open_feedback, retain_exposures
from pigeon_rec.warehouse.migrations import migrate, open_warehouse, schema_version
from pigeon_rec.warehouse.publish import known_assets, publish
from pigeon_rec.warehouse.read import answer, ask, query, served_assets, warehouse_info
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS, NightRecords
from pigeon_rec.warehouse.retention import collect_garbage, drop_night, retain
from pigeon_rec.warehouse.serve import AssetReader
from pigeon_rec.warehouse.snapshots import content_digest, promote
from pigeon_rec.warehouse.sql_files import query_names, sql_root
from pigeon_rec.warehouse.staging import read_staged, stage
from pigeon_rec.warehouse.stores import PictureStore, with_bytes

__all__ = [
    "NIGHT_SCHEMAS",
    "AssetReader",
    "NightRecords",
    "PictureStore",
    "WarehouseBusyError",
    "answer",
    "ask",
    "check_serving",
    "check_warehouse",
    "collect_garbage",
    "connect",
    "content_digest",
    "driver_errors",
    "drop_night",
    "image_faults",
    "known_assets",
    "merge_exposures",
    "migrate",
    "open_feedback",
    "open_reader",
    "open_warehouse",
    "promote",
    "publish",
    "query",
    "query_names",
    "read_staged",
    "retain",
    "retain_exposures",
    "schema_version",
    "served_assets",
    "sql_root",
    "stage",
    "transaction",
    "warehouse_info",
    "with_bytes",
]
