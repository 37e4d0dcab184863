"""Imports exposures into a work directory, with the tastes and cohorts of their users."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pigeon_rec.columns import ExposureColumns
from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.import_exposures import Fault, read_exposures
from pigeon_rec.data.opt_out import opt_out_file, read_opt_outs
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.data.tastes import tastes_of
from pigeon_rec.errors import InteractionError
from pigeon_rec.inputs.prepare import is_foreign
from pigeon_rec.runtime.work_dir import feedback_file, serving_file
from pigeon_rec.warehouse.feedback import TASTES, merge_exposures, open_feedback, read_histories

__all__ = ["ExposureImport", "import_exposures"]


@dataclass(frozen=True)
class ExposureImport:
    """Result of an import of exposures.

    Attributes:
        path: The DuckDB file that they were added to.
        columns: What -> the column of the table that was read for it.
        notes: How the table was read: encoding, form of the times.
        rows: Rows of the table that could be read.
        added: New exposures.
        updated: Exposures that were there and have changed: by a click, a taste or a cohort that
            was not known, or a contradiction.
        known: Exposures that were there already.
        duplicates: Rows that say the same as another one of the table.
        contradictory: Rows about the user, item and time of another one, with another arm, asset
            key or propensity.
        users: Users of the usable rows.
        items: Their items.
        users_with_taste: Users whose taste is known.
        users_with_cohort: Users whose cohort is known.
        first: Earliest time (UTC); None without a usable row.
        last: Latest time.
        faults: Unusable rows by reason.
    """

    path: Path
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    rows: int
    added: int
    updated: int
    known: int
    duplicates: int
    contradictory: int
    users: int
    items: int
    users_with_taste: int
    users_with_cohort: int
    first: str | None
    last: str | None
    faults: tuple[Fault, ...]


def import_exposures(
    source: str, config: NightlyConfig, columns: ExposureColumns | None = None
) -> ExposureImport:
    """Adds exposures to `<work_dir>/warehouse/feedback.duckdb`; known ones change nothing.

    Users who have opted out are left out without a trace. A user's taste is that of the histories
    which the served pictures were drawn for, by the taste column of the scenario; the cohort is
    that of the newest night up to the day. Columns of the table that hold them come first.

    Args:
        source: Path of the table, or a query of `columns.database`.
        config: Settings of the nights: work directory, catalogue and scenario.
        columns: Columns of the table, and the arms.

    Raises:
        InteractionError: The table cannot be read, a column is missing, or no row is usable.
        WarehouseBusyError: The exposures are open elsewhere.
        WarehouseError: They, or the served snapshot, cannot be read or changed.
    """
    columns = columns or ExposureColumns()
    path, link = feedback_file(config.work_dir), serving_file(config.work_dir)
    # The list of opt-outs is read once the file is held: an erasure first writes that list and then
    # waits for the file, so that no erased user comes back.
    with open_feedback(path) as connection:
        opted_out = read_opt_outs(opt_out_file(config.work_dir))
        # Named so that a later night removes it after a kill.
        rows = path.with_name(f".exposures.{os.getpid()}.tmp")
        try:
            read = read_exposures(source, rows, columns, opted_out)
            merged = merge_exposures(connection, rows, link, _tastes(config, link))
        finally:
            rows.unlink(missing_ok=True)
    faults = (*read.faults, *(Fault(*fault) for fault in merged.faults))
    if merged.counts["users"] == 0:
        first = faults[0]
        raise InteractionError(
            f"none of {read.rows} rows is usable; the first: {first.reason} ({first.example})",
            location=source,
        )
    return ExposureImport(path, read.columns, read.notes, read.rows, **merged.counts, faults=faults)


def _tastes(config: NightlyConfig, link: Path) -> pl.DataFrame:
    histories = read_histories(link)
    if histories.is_empty():
        return pl.DataFrame(schema=TASTES)
    prompt = load_prompt(config.scenario)
    table: str | Path = config.catalogue
    if is_foreign(config, "catalogue"):  # the nights have imported it
        table = config.work_dir / "inputs" / "items.parquet"
        if not table.is_file():
            return pl.DataFrame(schema=TASTES)
    catalogue = load_catalogue(table, prompt.aspect)
    tastes = tastes_of(histories, catalogue, prompt.taste, prompt.separator)
    return pl.DataFrame({"user_id": list(tastes), "taste": list(tastes.values())}, schema=TASTES)
