"""Removal of old nights, and of picture files that nothing refers to any more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.runtime.airflow_step import latest_date
from pigeon_rec.warehouse._compact import compact
from pigeon_rec.warehouse._frames import fetch, registered, run_script, select
from pigeon_rec.warehouse._owners import claim
from pigeon_rec.warehouse.connection import driver_errors, open_reader, transaction
from pigeon_rec.warehouse.feedback import compact_feedback, feedback_beside
from pigeon_rec.warehouse.migrations import open_warehouse
from pigeon_rec.warehouse.mirror import Mirror, clean_mirrors, mirrored_pictures
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.stores import IN_TABLE, PictureStore

__all__ = ["Collected", "Retained", "collect_garbage", "drop_night", "retain"]


@dataclass(frozen=True)
class Retained:
    """What `retain` or `drop_night` removed.

    Attributes:
        dropped: The nights.
        pictures: Number of pictures that only these nights served.
    """

    dropped: tuple[str, ...]
    pictures: int


@dataclass(frozen=True)
class Collected:
    """What `collect_garbage` freed.

    Attributes:
        pictures: Number of picture files outside the table that were removed.
        picture_bytes: Their size in bytes.
        file_bytes: Number of bytes that the files of warehouse and exposures shrank by.
        mirrored: Nights removed from mirrors, unfinished ones included.
    """

    pictures: int
    picture_bytes: int
    file_bytes: int
    mirrored: int


def retain(connection: DuckDBPyConnection, keep_days: int) -> Retained:
    """Removes the nights that are more than `keep_days` days older than the newest one.

    Nights after tomorrow (UTC) do not count as the newest one. The night that readers get is always
    kept, also the one they would get without those nights, and so is every picture that a kept
    night serves. Everything happens in one transaction. Bytes outside the table stay until
    `collect_garbage`, since snapshots may still refer to them.

    Raises:
        ConfigError: `keep_days` is negative.
        WarehouseError: DuckDB refused it; the tables are unchanged.
    """
    if keep_days < 0:
        raise ConfigError(f"days to keep cannot be negative, received {keep_days}")
    with driver_errors("retention"), transaction(connection):
        facts = {"keep_days": keep_days, "latest": latest_date()}
        return _drop(connection, select(connection, sql_text("publish/expired_runs"), facts))


def drop_night(connection: DuckDBPyConnection, date: dt.date) -> Retained:
    """Removes one night in one transaction, and every picture that only it serves, as `retain`.

    Raises:
        WarehouseError: There is no such night, or DuckDB refused it; the tables are unchanged.
    """
    night = {"run_id": date.isoformat()}
    with driver_errors("dropping a night"), transaction(connection):
        if not fetch(connection, sql_text("publish/published_content"), night):
            raise WarehouseError(
                f"there is no night of {date}",
                location="runs",
                remedy="`pigeon-rec sql quality_by_day` lists the promoted nights",
            )
        return _drop(connection, pl.DataFrame(night))


def collect_garbage(
    path: Path, link: Path, *, images: str = IN_TABLE, mirror: Mirror | None = None
) -> Collected:
    """Removes picture files that nothing refers to, cleans mirrors, compacts the warehouse file.

    A picture file is kept as long as the warehouse, any snapshot beside `link` or a mirrored night
    refers to it. The warehouse is locked meanwhile, so that files of a publication or mirroring in
    progress are not removed.

    Args:
        path: The warehouse.
        link: The serving link.
        images: The present setting `warehouse.images`; earlier stores are listed in the warehouse.
        mirror: The mirror of the settings; earlier ones are listed in the warehouse.

    Raises:
        WarehouseBusyError: The warehouse is open for writing.
        WarehouseError: A snapshot or mirror cannot be read, a store is used by another warehouse
            too, or a store cannot be cleaned. No file that is referred to was removed.
    """
    with open_warehouse(path, create=False) as connection, driver_errors(path):
        mirrored = clean_mirrors(connection, mirror)
        referred = {*_outside(connection), *_in_snapshots(link), *mirrored_pictures(connection)}
        addresses = {address for (address,) in fetch(connection, sql_text("internal/image_stores"))}
        if images != IN_TABLE:
            addresses.add(PictureStore(images).address)
        held = {store: store.holdings() for store in map(PictureStore, sorted(addresses))}
        # Every store is checked before a file is removed from any. One that is marked only now may
        # have other users, who get time to leave their markers.
        ours = [store for store in held if held[store] and not claim(connection, store, alone=True)]
        orphans = {
            store: {uri: size for uri, size in held[store].items() if uri not in referred}
            for store in ours
        }
        for store, found in orphans.items():
            store.remove(list(found))
    sizes = [size for found in orphans.values() for size in found.values()]
    exposures = feedback_beside(path)
    freed = compact(path) + (compact_feedback(exposures) if exposures.is_file() else 0)
    return Collected(len(sizes), sum(sizes), freed, mirrored)


def _drop(connection: DuckDBPyConnection, expired: pl.DataFrame) -> Retained:
    """Removes the nights of a frame with the column `run_id`, inside the caller's transaction."""
    before = _pictures(connection)
    if expired.height:
        with registered(connection, expired_runs=expired):
            run_script(connection, sql_text("publish/drop_runs"), {})
        steps = ("publish/drop_unreferenced", "publish/settle")
        run_script(connection, "".join(map(sql_text, steps)), {})
    return Retained(tuple(expired["run_id"].to_list()), before - _pictures(connection))


def _in_snapshots(link: Path) -> Iterator[str]:
    for snapshot in sorted((link.parent / "snapshots").glob("*.duckdb")):
        with open_reader(snapshot) as connection, driver_errors(snapshot):
            yield from _outside(connection)


def _outside(connection: DuckDBPyConnection) -> list[str]:
    return [uri for (uri,) in fetch(connection, sql_text("internal/outside_pictures"))]


def _pictures(connection: DuckDBPyConnection) -> int:
    [(count,)] = fetch(connection, sql_text("internal/count_pictures"))
    return int(count)
