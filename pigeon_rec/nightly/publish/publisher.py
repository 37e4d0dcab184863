"""Publishing a night: its files become one transaction in the warehouse, then readers get it.

The plan lists the requests to be served. Shards hold the pictures drawn in this night; reused ones
are looked up in the warehouse, with the verdict they got there. A picture that does not decode is
recorded as rejected; a missing shard stops the step before anything is written. One shard is in
memory at a time.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.prompts import scenario_name
from pigeon_rec.drawing.gate import read_night_gate
from pigeon_rec.nightly.files import (
    PLAN_SCHEMA,
    drawn_shards,
    file_errors,
    read_drawing_times,
    read_plan_info,
    read_shard,
    scan_table,
)
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.warehouse import open_warehouse, publish
from pigeon_rec.warehouse.connection import limit_memory
from pigeon_rec.warehouse.drawn import drawn_parts
from pigeon_rec.warehouse.marking import marker_of
from pigeon_rec.warehouse.mirror import promote_and_mirror
from pigeon_rec.warehouse.records import NightFacts
from pigeon_rec.warehouse.staging import stage_parts

__all__ = ["PublishSummary", "promote_night", "publish_night"]

# Settings that decide where and how fast a night runs, but not its result. The parts of the
# placement that do change pictures are in the settings' hash.
_WITHOUT_EFFECT: Final[Mapping[str, Any]] = {
    "work_dir": True,
    "exchange": True,
    "batch_size": True,
    "processes": True,
    "threads": True,
    "placement": True,
    "report": True,
    "warehouse": True,
    "plan": {"shards", "users_per_part"},
}


@dataclass(frozen=True)
class PublishSummary:
    """Numbers of a published night.

    Attributes:
        changed: False if the warehouse held exactly this night already.
        planned: Requests of the plan.
        generated: Served requests whose picture was drawn in this night.
        reused: Served requests whose picture was drawn in an earlier night.
        served: Requests that readers get a picture for.
        rejected: Requests whose picture was rejected.
        skipped: Recommendations that could not be planned.
        reasons: Rejections by reason.
        content_sha256: Hash of the night's rows.
    """

    run_id: str
    changed: bool
    planned: int
    generated: int
    reused: int
    served: int
    rejected: int
    skipped: int
    reasons: Mapping[str, int]
    content_sha256: str


def publish_night(config: NightlyConfig, date: dt.date) -> PublishSummary:
    """Stages one night as checked parquet files and writes it into the warehouse.

    All rows are written in one transaction, after the pictures if those lie outside the table.

    Raises:
        ConfigError: The location of the pictures cannot be reached, or they cannot be signed.
        PlanError: The night is not planned, or a shard of it is missing or incomplete.
        WarehouseError: The warehouse is locked or rejects the night; its tables are unchanged.
    """
    paths, marker = NightPaths.of(config, date), marker_of(config.warehouse)
    plan = scan_table(paths.plan, "plan", PLAN_SCHEMA)
    shards = drawn_shards(paths, plan)
    info = read_plan_info(paths)
    facts = NightFacts(
        logical_date=date,
        model_version=info["model_version"],
        settings_hash=info["settings_hash"],
        seed=config.seed,
        config={
            **config.model_dump(mode="json", exclude=dict(_WITHOUT_EFFECT)),
            # Whatever folder its file is in; what it says is part of the settings' hash.
            "scenario": scenario_name(config.scenario),
            "gate": read_night_gate(paths.gate, config).limits.model_dump(mode="json"),
        },
        planned=_height(plan),
        skipped=_height(scan_table(paths.skipped, "plan")),
    )
    tables = {
        "problems": scan_table(paths.problems, "plan"),
        "cohorts": scan_table(paths.cohorts, "plan"),
        "plan_pairs": scan_table(paths.explained, "plan"),
        "originals": load_catalogue(config.catalogue).items.lazy(),
        "drawing_times": read_drawing_times(paths, shards).lazy(),
    }
    # Opening creates the warehouse, so the heads of all files of the night are read before.
    with open_warehouse(paths.warehouse) as connection:
        limit_memory(connection, config.warehouse.memory_gb)
        parts = drawn_parts(connection, paths.plan, shards, read_shard, date)
        with file_errors(paths.night, "plan"):
            staged = stage_parts(facts, paths.staged, parts, tables, connection)
        published = publish(connection, staged, images=config.warehouse.images, marker=marker)
    return PublishSummary(
        **dataclasses.asdict(published),
        served=published.served,
        planned=facts.planned,
        skipped=facts.skipped,
        reasons=staged.reasons(),
    )


def promote_night(config: NightlyConfig) -> Path:
    """Makes the published nights visible to readers, as `promote_and_mirror`."""
    return promote_and_mirror(config.work_dir, config.warehouse)


def _height(table: pl.LazyFrame) -> int:
    return int(table.select(pl.len()).collect(engine="streaming").item())
