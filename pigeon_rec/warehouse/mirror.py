"""A mirror of the served tables for readers on other machines: parquet by date and user bucket.

The served snapshot is written bucket by bucket into a new folder. Then the pointer `current.json`
names that folder, and after a grace period the folders of earlier nights are removed. So a reader
that follows the pointer finds a whole night, and a process that dies leaves the night before in
place, beside files that no pointer names; the next call removes those.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.config import WarehouseConfig
from pigeon_rec.runtime.files import real_path
from pigeon_rec.runtime.leftovers import spill_folder
from pigeon_rec.runtime.work_dir import serving_file, warehouse_file
from pigeon_rec.warehouse._frames import fetch, run_script
from pigeon_rec.warehouse._mirror_place import MirrorPlace, Pointer, Replaced
from pigeon_rec.warehouse._mirror_tables import OUTSIDE, write_tables
from pigeon_rec.warehouse.connection import driver_errors, open_private
from pigeon_rec.warehouse.migrations import open_warehouse
from pigeon_rec.warehouse.snapshots import promote
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = [
    "Mirror",
    "Mirrored",
    "clean_mirrors",
    "erase_mirrors",
    "mirror_of",
    "mirror_served",
    "mirrored_pictures",
    "promote_and_mirror",
]


@dataclass(frozen=True)
class Mirror:
    """Where and how to mirror.

    Attributes:
        address: An fsspec location that holds nothing else.
        buckets: Number of buckets of users.
        grace: How long the files of a replaced night stay.
    """

    address: str
    buckets: int = 16
    grace: dt.timedelta = dt.timedelta(hours=24)


@dataclass(frozen=True)
class Mirrored:
    """What `mirror_served` did.

    Attributes:
        night: The night that readers find.
        path: Its folder, relative to the address.
        changed: False if exactly this snapshot was mirrored already.
        removed: Folders of earlier nights, and of killed calls, that were removed.
    """

    night: str
    path: str
    changed: bool
    removed: int


def mirror_of(config: WarehouseConfig) -> Mirror | None:
    """Returns the mirror that the settings ask for."""
    if config.mirror is None or config.mirror_address is None:
        return None
    grace = dt.timedelta(hours=config.mirror_grace_hours)
    return Mirror(config.mirror_address, config.mirror_buckets, grace)


def promote_and_mirror(work_dir: Path, config: WarehouseConfig) -> Path:
    """Makes the published nights visible to readers, then to those of the mirror, if one is set.

    Returns:
        The snapshot that readers of this machine open.

    Raises:
        WarehouseError: Nothing was published, or the copy is damaged; or the mirror cannot be
            written, and its readers keep the night they have.
    """
    warehouse, link = warehouse_file(work_dir), serving_file(work_dir)
    snapshot = promote(warehouse, link, memory_gb=config.memory_gb)
    if (mirror := mirror_of(config)) is not None:
        mirror_served(warehouse, link, mirror)
    return snapshot


def mirror_served(
    writer_path: Path, link: Path, mirror: Mirror, *, now: dt.datetime | None = None
) -> Mirrored:
    """Mirrors the snapshot that readers of this machine get.

    The warehouse is locked meanwhile, so that nothing else writes to the mirror or cleans it.
    Pictures pass through in parts of 16 MB: memory does not grow with the night.

    Args:
        writer_path: The warehouse.
        link: The serving link.
        mirror: Where to.
        now: The time, if not that of the clock.

    Raises:
        ConfigError: The package of the address's protocol is not installed.
        WarehouseBusyError: The warehouse is open for writing.
        WarehouseError: The address cannot be reached, or is not this warehouse's; readers of the
            mirror keep the night they have.
    """
    now, place = now or dt.datetime.now(dt.UTC), MirrorPlace(mirror.address)
    with (
        open_warehouse(writer_path, create=False) as warehouse,
        open_private(link) as source,
        driver_errors(link),
    ):
        [(identity, night)] = fetch(source, sql_text("mirror/facts"))
        place.claim(identity)
        # Known before anything is there: erasure looks for users at all addresses of this table.
        fetch(warehouse, sql_text("mirror/register"), {"address": place.address})
        before, snapshot = place.pointer(), real_path(link)
        if before is not None and _is_current(place, before, snapshot, mirror):
            pointer = before
        else:
            _prepare(source, snapshot)
            path = place.new_version(night, now)
            pointer = Pointer(
                night=night,
                path=path,
                buckets=mirror.buckets,
                snapshot=snapshot.name,
                written_at=now,
                tables=write_tables(place, source, path, mirror.buckets),
                replaced=_replaced(before, now),
            )
        removed = _settle(place, before, pointer.without_expired(now, mirror.grace))
        return Mirrored(night, pointer.path, pointer != before, removed)


def clean_mirrors(
    connection: DuckDBPyConnection, mirror: Mirror | None, *, now: dt.datetime | None = None
) -> int:
    """Removes what no reader needs from every address that was ever mirrored to.

    That is what killed calls left, nights that were replaced longer ago than the grace period, and,
    at an address that is no longer in the settings, a night that the warehouse no longer has.

    Args:
        connection: The open warehouse, which stays locked.
        mirror: The mirror of the settings.
        now: The time, if not that of the clock.

    Returns:
        Number of nights removed, unfinished ones included.

    Raises:
        WarehouseError: An address cannot be reached.
    """
    now, in_use = now or dt.datetime.now(dt.UTC), _address(mirror)
    nights = {night for (night,) in fetch(connection, sql_text("mirror/nights"))}
    removed = 0
    for place in _places(connection):
        pointer = place.pointer()
        if place.address != in_use and (pointer is None or pointer.night not in nights):
            removed += _leave(connection, place)
        elif pointer is None:
            removed += place.remove_all_but(())
        else:
            grace = (mirror or Mirror("")).grace
            removed += _settle(place, pointer, pointer.without_expired(now, grace))
    return removed


def erase_mirrors(writer_path: Path, link: Path, mirror: Mirror | None) -> int:
    """Mirrors the served snapshot anew and removes all else, at once, from every address.

    An address that is no longer in the settings is emptied.

    Returns:
        Number of nights removed.

    Raises:
        WarehouseBusyError: The warehouse is open for writing.
        WarehouseError: An address cannot be reached; the call can be repeated.
    """
    in_use = _address(mirror) if link.exists() else None
    with open_warehouse(writer_path, create=False) as connection, driver_errors(writer_path):
        places = list(_places(connection))
        removed = sum(_leave(connection, p) for p in places if p.address != in_use)
    if mirror is not None and in_use in {place.address for place in places}:
        at_once = Mirror(mirror.address, mirror.buckets, dt.timedelta())
        removed += mirror_served(writer_path, link, at_once).removed
    return removed


def mirrored_pictures(connection: DuckDBPyConnection) -> Iterator[str]:
    """Yields the addresses of picture files that any mirrored night refers to.

    Raises:
        WarehouseError: A mirror cannot be read.
    """
    for place in _places(connection):
        pointer = place.pointer()
        if pointer is not None:
            for content in place.read(place.files_of(OUTSIDE, pointer.paths())):
                yield from pl.read_parquet(io.BytesIO(content))["image_uri"]


def _is_current(place: MirrorPlace, pointer: Pointer, snapshot: Path, mirror: Mirror) -> bool:
    same = (pointer.snapshot, pointer.buckets) == (snapshot.name, mirror.buckets)
    return same and place.holds(pointer.files())


def _replaced(before: Pointer | None, now: dt.datetime) -> tuple[Replaced, ...]:
    if before is None:
        return ()
    return (Replaced(path=before.path, replaced_at=now), *before.replaced)


def _settle(place: MirrorPlace, before: Pointer | None, pointer: Pointer) -> int:
    """Points readers to a night, then removes what the pointer does not name."""
    if pointer != before:
        place.point(pointer)
    return place.remove_all_but(pointer.paths())


def _prepare(source: DuckDBPyConnection, snapshot: Path) -> None:
    run_script(source, sql_text("mirror/session"), {})
    folder = {"folder": str(spill_folder(snapshot))}
    run_script(source, sql_text("internal/spill_folder"), folder)


def _leave(connection: DuckDBPyConnection, place: MirrorPlace) -> int:
    removed = place.remove()
    fetch(connection, sql_text("mirror/unregister"), {"address": place.address})
    return removed


def _places(connection: DuckDBPyConnection) -> list[MirrorPlace]:
    rows = fetch(connection, sql_text("mirror/addresses"))
    return [MirrorPlace(address) for (address,) in rows]


def _address(mirror: Mirror | None) -> str | None:
    return None if mirror is None else MirrorPlace(mirror.address).address
