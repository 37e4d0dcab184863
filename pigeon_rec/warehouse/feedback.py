"""The exposures: what users were shown, in which arm of an experiment, and whether they clicked.

They lie in a DuckDB file of their own beside the warehouse. Promotion copies the whole warehouse
for the readers, and exposures are personal data that serving does not need; nor must an import of
millions of rows hold up a publication. They are added, erased or retained in one transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import ConfigError, WarehouseError
from pigeon_rec.runtime.airflow_step import latest_date
from pigeon_rec.runtime.files import real_path
from pigeon_rec.warehouse._compact import compact
from pigeon_rec.warehouse._frames import fetch, registered, run_script, select
from pigeon_rec.warehouse.connection import driver_errors, open_private, transaction
from pigeon_rec.warehouse.migrations import open_feedback
from pigeon_rec.warehouse.sql_files import sql_text
from pigeon_rec.warehouse.stores import with_bytes

__all__ = [
    "TASTES",
    "Merged",
    "attach_exposures",
    "click_pairs",
    "compact_feedback",
    "erase_exposures",
    "feedback_beside",
    "merge_exposures",
    "open_feedback",
    "read_histories",
    "retain_exposures",
]

TASTES = pl.Schema({"user_id": pl.String(), "taste": pl.String()})
"""Columns of the users' tastes."""


@dataclass(frozen=True)
class Merged:
    """What an import did.

    Attributes:
        counts: `added`, `updated` and `known` exposures, `duplicates` and `contradictory` rows,
            `users`, `items`, `users_with_taste` and `users_with_cohort` of the import, and the
            `first` and `last` time.
        faults: Rows left out because of their picture: reason, number, first row, and its values.
    """

    counts: dict[str, Any]
    faults: tuple[tuple[str, int, int, str], ...]


def feedback_beside(path: Path) -> Path:
    """Returns the file of the exposures that belongs to a serving link, snapshot or warehouse."""
    folder = path.parent
    return (folder.parent if folder.name == "snapshots" else folder) / "feedback.duckdb"


def read_histories(link: Path) -> pl.DataFrame:
    """Returns `user_id, history_ids` of the pictures of single users in a snapshot.

    A missing file gives no rows.

    Raises:
        WarehouseError: The file cannot be read.
    """
    if not link.exists():
        return pl.DataFrame(schema={"user_id": pl.String, "history_ids": pl.List(pl.String)})
    with open_private(link) as connection, driver_errors(link):
        return select(connection, sql_text("feedback/histories"))


def merge_exposures(
    connection: DuckDBPyConnection, rows: Path, link: Path, tastes: pl.DataFrame
) -> Merged:
    """Adds exposures in one transaction; what is there already changes nothing.

    Of contradictory rows about one user, item and time, the first in the order of arm, asset key
    and propensity counts; a click in any of them is a click. Taste and cohort stay as they were
    first known.

    Args:
        connection: From `open_feedback`, outside any transaction.
        rows: The file that `data.import_exposures` wrote.
        link: The serving link, which knows the asset keys and the cohorts; it may be missing.
        tastes: The users' tastes, as `TASTES`, for rows that have none.

    Raises:
        WarehouseError: DuckDB refused it, or the snapshot cannot be read. The table is unchanged.
    """
    with driver_errors("exposures"):
        run_script(connection, sql_text("feedback/settle_memory"), {})
        nights = "attach_nights" if link.exists() else "no_nights"
        run_script(connection, sql_text(f"feedback/{nights}"), {"nights": str(real_path(link))})
        run_script(connection, sql_text("feedback/read"), {"file": str(rows)})
        faults = fetch(connection, sql_text("feedback/faults"))
        known = tastes.match_to_schema(TASTES)
        with transaction(connection), registered(connection, user_tastes=known):
            run_script(connection, sql_text("feedback/merge"), {})
        [counts] = select(connection, sql_text("feedback/merged")).to_dicts()
    return Merged(counts, tuple(faults))


def click_pairs(
    link: Path, *, within: str = "cohort", min_shown: int = 1, limit: int
) -> pl.DataFrame:
    """Returns two pictures of one item of which one was clicked and the other not, row by row.

    Args:
        link: The serving link; the exposures lie beside it.
        within: Whose exposures are compared: those of one user, or of all users of one cohort.
        min_shown: Least number of exposures of the picture that was not clicked.
        limit: Largest number of pairs; those with most clicks and exposures are kept.

    Returns:
        `item_id`, `comparable` (the user or cohort), `chosen_key` and `rejected_key` (null for the
        original), how often they were shown and clicked, `weight` (mean inverse propensities of
        both, multiplied), and of the chosen picture `user_id`, `history_ids` and `chosen_ratio`;
        `rejected_ratio`; and both pictures as encoded bytes, null where they cannot be read and for
        the original.

    Raises:
        ConfigError: `within` is neither, or a number is out of range.
        WarehouseError: There are no exposures, or a file cannot be read.
    """
    if within not in ("user", "cohort") or min_shown < 1 or limit < 1:
        raise ConfigError(
            "pairs are within a `user` or a `cohort`, of pictures shown at least once, received "
            f"{within!r} and {min_shown}",
            location="pairs from clicks",
        )
    facts = {"within": within, "min_shown": min_shown, "limit": limit}
    with open_private(link) as connection, driver_errors("pairs from clicks"):
        attach_exposures(connection, link)
        rows = select(connection, sql_text("feedback/click_pairs"), facts)
    for side in ("chosen", "rejected"):
        given = rows.select(image=f"{side}_image", image_uri=f"{side}_uri")
        images = with_bytes(given.with_columns(asset_key=rows[f"{side}_key"]))["image"]
        rows = rows.with_columns(images.alias(f"{side}_image")).drop(f"{side}_uri")
    return rows


def erase_exposures(path: Path, users: Sequence[str]) -> int:
    """Erases the exposures of users, also from the free space of the file; returns their number.

    Raises:
        WarehouseBusyError: The file is open elsewhere.
        WarehouseError: The file cannot be read or changed.
    """
    frame = pl.DataFrame({"user_id": users}, schema={"user_id": pl.String})
    with open_feedback(path) as connection, driver_errors("erasure of exposures"):
        before = _count(connection)
        with transaction(connection), registered(connection, forgotten=frame):
            run_script(connection, sql_text("feedback/forget_users"), {})
        erased = before - _count(connection)
    compact_feedback(path, always=True)
    return erased


def retain_exposures(path: Path, warehouse: DuckDBPyConnection, keep_days: int) -> int:
    """Removes the exposures more than `keep_days` days older than the newest night.

    Returns their number.

    Args:
        path: The file of the exposures; it may be missing.
        warehouse: The open warehouse; its nights after tomorrow (UTC) do not count.
        keep_days: As in `retain`.

    Raises:
        ConfigError: `keep_days` is negative.
        WarehouseError: DuckDB refused it; the table is unchanged.
    """
    if keep_days < 0:
        raise ConfigError(f"days to keep cannot be negative, received {keep_days}")
    with driver_errors("retention"):
        [(newest,)] = fetch(warehouse, sql_text("feedback/newest_night"), {"latest": latest_date()})
    if newest is None or not path.exists():
        return 0
    days = min(keep_days, (newest - dt.date.min).days)
    first = {"first": newest - dt.timedelta(days=days)}
    with open_feedback(path) as connection, driver_errors("retention of exposures"):
        before = _count(connection)
        with transaction(connection):
            run_script(connection, sql_text("feedback/retain"), first)
        return before - _count(connection)


def compact_feedback(path: Path, *, always: bool = False) -> int:
    """Rewrites the file without its free space, as `compact` does with the warehouse."""
    return compact(path, always=always, digest=_digest)


def attach_exposures(connection: DuckDBPyConnection, path: Path) -> None:
    """Makes the exposures beside a snapshot readable as `exposures`.

    Raises:
        WarehouseError: There are none, or the file cannot be read.
    """
    file = feedback_beside(path)
    if not file.is_file():
        raise WarehouseError(
            "there are no exposures",
            location=str(file.absolute()),
            remedy="Import them first: pigeon-rec import exposures FILE",
        )
    run_script(connection, sql_text("feedback/attach_reader"), {"file": str(real_path(file))})


def _count(connection: DuckDBPyConnection) -> int:
    [(count,)] = fetch(connection, sql_text("feedback/count"))
    return int(count)


def _digest(connection: DuckDBPyConnection) -> str:
    return str(fetch(connection, sql_text("feedback/digest")))
