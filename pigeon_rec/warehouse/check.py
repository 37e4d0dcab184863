"""Checks of a whole warehouse: hashes against bytes, references against tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse._frames import select
from pigeon_rec.warehouse._images import image_faults
from pigeon_rec.warehouse._signing import is_signed
from pigeon_rec.warehouse.connection import driver_errors, open_reader
from pigeon_rec.warehouse.marks import Mark, mark_picture, read_mark, unmark_picture
from pigeon_rec.warehouse.migrations import available_migrations, schema_version
from pigeon_rec.warehouse.snapshots import content_digest
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.stores import with_bytes

__all__ = ["check_serving", "check_warehouse"]

_SCHEMA: Final = pl.Schema({"kind": pl.String(), "subject": pl.String(), "detail": pl.String()})
_BATCH: Final = 2000
_PICTURES: Final = pl.Schema(
    {
        "asset_key": pl.String(),
        "image": pl.Binary(),
        "image_uri": pl.String(),
        "image_sha256": pl.String(),
        "format": pl.String(),
        "width": pl.Int64(),
        "height": pl.Int64(),
        "byte_size": pl.Int64(),
        "marking": pl.String(),
        "drawn_sha256": pl.String(),
        "model_version": pl.String(),
    }
)

Fault = tuple[str, str, str]


def check_warehouse(path: Path) -> pl.DataFrame:
    """Checks everything in a warehouse or snapshot.

    The bytes of every picture are fetched (also from outside the table), hashed and decoded; every
    reference between tables is looked up; the counts of every night are recounted.

    Returns:
        One row `kind, subject, detail` per fault, sorted; none for a sound file.

    Raises:
        WarehouseBusyError: The file is open for writing.
        WarehouseError: The file is missing or not a warehouse.
    """
    with open_reader(path) as connection, driver_errors(path):
        found = list(_schema_faults(connection))
        if not found:
            found += select(connection, sql_text("internal/faults")).rows()
            found += _picture_faults(connection)
    return _frame(found)


def check_serving(link: Path) -> pl.DataFrame:
    """Checks the snapshots against the hashes in their names, and the target of the serving link.

    Snapshots of an older schema cannot be hashed by this version and are left out.

    Returns:
        As `check_warehouse`; none for a warehouse that was never promoted.
    """
    found: list[Fault] = []
    if link.is_symlink() and not link.is_file():
        found.append(("lost snapshot", link.name, f"points to {link.readlink()}, which is missing"))
    for snapshot in sorted((link.parent / "snapshots").glob("*.duckdb")):
        found += _snapshot_faults(snapshot)
    return _frame(found)


def _schema_faults(connection: DuckDBPyConnection) -> Iterator[Fault]:
    have, need = schema_version(connection), len(available_migrations())
    if have != need:
        remedy = "publishing brings it up to date" if have < need else "upgrade pigeon_rec"
        yield "other schema", f"version {have}", f"this pigeon_rec has version {need}: {remedy}"


def _picture_faults(connection: DuckDBPyConnection) -> Iterator[Fault]:
    pictures = connection.execute(sql_text("internal/stored_pictures"))
    while rows := pictures.fetchmany(_BATCH):
        stored = pl.DataFrame(rows, schema=_PICTURES, orient="row")
        read = with_bytes(stored)
        locations = dict(stored.select("asset_key", "image_uri").iter_rows())
        for key, detail in image_faults(read).iter_rows():
            location = f" [{locations[key]}]" if locations[key] else ""
            yield "damaged picture", key, detail + location
        yield from _mark_faults(read.join(image_faults(read), on="asset_key", how="anti"))
        size = pl.col("image").bin.size("b").cast(pl.Int64)
        wrong = read.filter(size != pl.col("byte_size"))
        for key, recorded in wrong.select("asset_key", "byte_size").iter_rows():
            yield "wrong size", key, f"is not {recorded} bytes long"


def _mark_faults(pictures: pl.DataFrame) -> Iterator[Fault]:
    """Checks the marks in sound pictures, and that without them each is the drawn one."""
    for row in pictures.filter(pl.col("marking").is_not_null()).iter_rows(named=True):
        drawn = unmark_picture(row["image"], row["format"])
        said = mark_picture(drawn, row["format"], Mark(row["model_version"], row["asset_key"]))
        if read_mark(row["image"]) != read_mark(said):
            yield "wrong mark", row["asset_key"], "the mark is missing or of another picture"
        if (row["marking"] == "c2pa") != is_signed(row["image"]):
            yield "wrong mark", row["asset_key"], f"is recorded as marked by {row['marking']}"
        if hashlib.sha256(drawn).hexdigest() != row["drawn_sha256"]:
            yield "wrong mark", row["asset_key"], "is not the drawn picture, apart from the mark"


def _snapshot_faults(snapshot: Path) -> Iterator[Fault]:
    try:
        with open_reader(snapshot) as connection, driver_errors(snapshot):
            if any(_schema_faults(connection)):
                return
            digest = content_digest(connection)
    except WarehouseError as error:
        yield "damaged snapshot", snapshot.name, error.what
        return
    if not snapshot.stem.endswith(f"-{digest[:16]}"):
        yield "damaged snapshot", snapshot.name, f"has content {digest[:16]}"


def _frame(found: list[Fault]) -> pl.DataFrame:
    return pl.DataFrame(found, schema=_SCHEMA, orient="row").sort(pl.all())
