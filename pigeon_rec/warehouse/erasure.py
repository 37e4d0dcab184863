"""Erasure of users: from the warehouse, all snapshots, mirrors, picture stores, runs and caches.

Deleted rows would stay in the free space of a DuckDB file, so the file is written anew, and
snapshots from before are removed. Files of runs are intermediate; the runs' folders are removed as
a whole. Pictures of cohorts stay: they were drawn for at least `plan.cohorts.min_users` users.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.data.opt_out import add_opt_outs, opt_out_file, user_digest
from pigeon_rec.errors import ConfigError
from pigeon_rec.runtime.files import write_json, write_parquet
from pigeon_rec.runtime.leftovers import sweep
from pigeon_rec.runtime.storage import list_files, remove_files
from pigeon_rec.runtime.work_dir import feedback_file, serving_file, warehouse_file
from pigeon_rec.warehouse._compact import compact
from pigeon_rec.warehouse._frames import fetch, registered, run_script
from pigeon_rec.warehouse.connection import driver_errors, transaction
from pigeon_rec.warehouse.feedback import erase_exposures
from pigeon_rec.warehouse.migrations import open_warehouse
from pigeon_rec.warehouse.mirror import Mirror, erase_mirrors
from pigeon_rec.warehouse.retention import collect_garbage
from pigeon_rec.warehouse.snapshots import promote
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.stores import IN_TABLE

__all__ = ["Erased", "erase_users"]

_TABLES: Final = ("run_assets", "rejections", "plan_pairs", "cohorts", "problems", "assets")
_INTERMEDIATE: Final = ("runs", "recbole")
_KEPT_FOLDERS: Final = ("inputs", "cache", "alignments")
_TEXTS: Final = (".json", ".jsonl", ".csv", ".html", ".inter", ".log", ".yaml")


@dataclass(frozen=True)
class Erased:
    """What `erase_users` removed.

    Attributes:
        receipt: File that says what was removed and when, without ids.
        users: Number of users.
        rows: Rows removed from each table of the warehouse; pictures are rows of `assets`.
        snapshots: Snapshots that were removed.
        files: Other files that were removed.
        rewritten: Tables outside the warehouse that were written anew without the users.
        mirrored: Nights removed from mirrors; the served one was mirrored anew.
    """

    receipt: Path
    users: int
    rows: dict[str, int]
    snapshots: int
    files: int
    rewritten: int
    mirrored: int


def erase_users(
    work_dir: Path,
    user_ids: Sequence[str],
    *,
    images: str = IN_TABLE,
    exchange: str = "disk",
    mirror: Mirror | None = None,
) -> Erased:
    """Removes users from everything in a work directory, and keeps them out of later nights.

    The caller holds the lock of the work directory alone. The users are first put on the list of
    opt-outs, so that an interrupted call can be repeated.

    Args:
        work_dir: Folder of runs, caches and the warehouse.
        user_ids: The users; unknown ones are no error.
        images: The setting `warehouse.images`.
        exchange: The setting `exchange`; its files of all nights are removed.
        mirror: The mirror of the settings. It gets the served night anew, and every other address
            that was ever mirrored to is emptied.

    Raises:
        ConfigError: No user is named, or the exchange or a store cannot be reached.
        WarehouseBusyError: The warehouse is open for writing.
        WarehouseError: The warehouse cannot be read or changed.
    """
    users = sorted({user for user in user_ids if user})
    if not users:
        raise ConfigError("no user is named", remedy="Give the ids of the users to erase")
    if not work_dir.is_dir():
        raise ConfigError("there is no such work directory", location=str(work_dir.absolute()))
    add_opt_outs(opt_out_file(work_dir), users)
    sweep(work_dir)
    rows, snapshots = _from_warehouse(work_dir, users)
    if (exposures := feedback_file(work_dir)).is_file():
        rows["exposures"] = erase_exposures(exposures, users)
    mirrored = _from_outside(work_dir, images, mirror)
    files = sum(map(_remove_tree, (work_dir / name for name in _INTERMEDIATE)))
    files += _from_exchange(exchange)
    removed, rewritten = _from_folders(work_dir, users)
    receipt = _receipt_file(work_dir)
    files += removed
    erased = Erased(receipt, len(users), rows, snapshots, files, rewritten, mirrored)
    facts = {
        "erased_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "users": [user_digest(user) for user in users],
        "rows": rows,
        "snapshots": snapshots,
        "files": erased.files,
        "rewritten": rewritten,
        "mirrored": mirrored,
    }
    write_json(facts, receipt)
    return erased


def _from_warehouse(work_dir: Path, users: Sequence[str]) -> tuple[dict[str, int], int]:
    """Returns the rows removed by table, and the number of snapshots removed."""
    warehouse, link = warehouse_file(work_dir), serving_file(work_dir)
    if not warehouse.is_file():
        return {}, 0
    with open_warehouse(warehouse, create=False) as connection, driver_errors("erasure"):
        before = _counts(connection)
        frame = pl.DataFrame({"user_id": users}, schema={"user_id": pl.String})
        steps = (
            "publish/forget_users",
            "publish/drop_unreferenced",
            "publish/recount_runs",
            "publish/settle",
        )
        with transaction(connection), registered(connection, forgotten=frame):
            run_script(connection, "".join(map(sql_text, steps)), {})
        after = _counts(connection)
    compact(warehouse, always=True)
    old = set((link.parent / "snapshots").glob("*.duckdb"))
    if link.exists():
        old.discard(promote(warehouse, link, keep=1))
        for snapshot in old:
            snapshot.unlink(missing_ok=True)
    return {name: before[name] - after[name] for name in _TABLES}, len(old)


def _from_outside(work_dir: Path, images: str, mirror: Mirror | None) -> int:
    """Cleans mirrors and picture stores; returns the number of mirrored nights removed."""
    warehouse, link = warehouse_file(work_dir), serving_file(work_dir)
    if not warehouse.is_file():
        return 0
    # Mirrors first: pictures that a mirrored night refers to are not collected.
    mirrored = erase_mirrors(warehouse, link, mirror)
    collect_garbage(warehouse, link, images=images, mirror=mirror)
    return mirrored


def _counts(connection: DuckDBPyConnection) -> dict[str, int]:
    rows = fetch(connection, sql_text("internal/count_rows"))
    return {str(name): int(count) for name, count in rows}


def _remove_tree(folder: Path) -> int:
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    if folder.is_dir():
        shutil.rmtree(folder)
    return files


def _from_exchange(exchange: str) -> int:
    if exchange == "disk":
        return 0
    try:
        files = list(list_files(exchange))
        remove_files(files)
    except OSError as error:
        raise ConfigError(
            f"the exchange cannot be cleaned: {error}", location=exchange, retryable=True
        ) from error
    return len(files)


def _from_folders(work_dir: Path, users: Sequence[str]) -> tuple[int, int]:
    """Removes texts that name a user, and rewrites tables; returns how many of each."""
    removed = rewritten = 0
    for path in _files(work_dir / name for name in _KEPT_FOLDERS):
        if path.suffix == ".parquet":
            rewritten += _rewrite(path, users)
        elif path.suffix in _TEXTS and _names(path, users):
            path.unlink()
            removed += 1
    return removed, rewritten


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _rewrite(path: Path, users: Sequence[str]) -> bool:
    """Writes a table anew if it has rows of the users."""
    if "user_id" not in pl.read_parquet_schema(path):
        return False
    rows = pl.read_parquet(path)
    kept = rows.filter(~pl.col("user_id").is_in(list(users)))
    if kept.height == rows.height:
        return False
    write_parquet(kept, path)
    return True


def _names(path: Path, users: Sequence[str]) -> bool:
    """Whether a text has one of the ids as a value; a short id is part of many other words."""
    text = path.read_text("utf-8", errors="replace")
    forms = ("user={},", "\n{}\t", ">{}<")
    return any(
        json.dumps(user, ensure_ascii=False) in text
        or any(form.format(user) in text for form in forms)
        for user in users
    )


def _receipt_file(work_dir: Path) -> Path:
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%f")
    return work_dir / "erasures" / f"{now}.json"
