"""Publishing a night: its files become one transaction in the warehouse, then readers get it.

The plan says which pairs are to be served; shards hold the pictures that this night drew; what is
reused is looked up in the warehouse, with the verdict that it got there. A picture that does not
decode is recorded as rejected; a shard that is missing stops the step before anything is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.files import NightFiles, read_night, serving_paths
from pigeon_rec.scoring import Reason
from pigeon_rec.warehouse import (
    NIGHT_SCHEMAS,
    NightRecords,
    image_faults,
    known_assets,
    open_warehouse,
    promote,
    publish,
    stage,
)
from pigeon_rec.warehouse.planning import known_before

__all__ = ["PublishSummary", "night_records", "promote_night", "publish_night"]

# Settings that decide where and how fast a night runs, never what it makes: the same night run
# elsewhere has the same content. What of the placement decides is told by the settings' hash.
_WITHOUT_EFFECT: Mapping[str, Any] = {
    "work_dir": True,
    "exchange": True,
    "batch_size": True,
    "threads": True,
    "placement": True,
    "report": True,
    "warehouse": True,
    "plan": {"shards"},
}
_UNDECODABLE: Reason = "undecodable"
_SHOWN = 3


@dataclass(frozen=True)
class PublishSummary:
    """What was published.

    Attributes:
        run_id: The night.
        changed: False where the warehouse held exactly this night already.
        planned: Pairs of the plan.
        generated: Served pairs whose picture this night made.
        reused: Served pairs whose picture an earlier night made.
        served: Pairs that readers get a picture for.
        rejected: Pairs whose picture was refused.
        skipped: Recommendations that could not be planned.
        reasons: Rejections by reason.
        content_sha256: Hash of everything the night says.
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

    Everything is written in one transaction, after the pictures if those lie outside the table.

    Raises:
        ConfigError: The address of the pictures cannot be reached.
        PlanError: The night is not planned, or a shard of it is missing or incomplete.
        WarehouseError: The warehouse is locked or refuses the night; its tables are as they were.
    """
    files = read_night(config, date)
    keys = files.plan["asset_key"].to_list()
    with open_warehouse(files.paths.warehouse) as connection:
        earlier = known_before(connection, keys, date)
        known = known_assets(connection, keys).with_columns(
            earlier=pl.col("asset_key").is_in(earlier.implode())
        )
        records = night_records(config, files, known)
        staged = stage(records, files.paths.staged)
        published = publish(connection, staged, images=config.warehouse.images)
    reasons = records.rejections["reason"].value_counts().iter_rows()
    return PublishSummary(
        run_id=published.run_id,
        changed=published.changed,
        planned=records.planned,
        generated=published.generated,
        reused=published.reused,
        served=published.served,
        rejected=published.rejected,
        skipped=records.skipped,
        reasons=dict(sorted(reasons)),
        content_sha256=published.content_sha256,
    )


def promote_night(config: NightlyConfig) -> Path:
    """Makes what is published the tables that readers get; returns their snapshot.

    Raises:
        WarehouseError: Nothing was published, or the copy does not check out.
    """
    warehouse, serving = serving_paths(config)
    return promote(warehouse, serving)


def night_records(config: NightlyConfig, files: NightFiles, known: pl.DataFrame) -> NightRecords:
    """What a night hands to the warehouse.

    Args:
        config: Settings of the night.
        files: Its files, complete.
        known: Verdicts on the planned keys, as `known_assets` gives them, and `earlier`: whether a
            night before this one had the key already. What only this or a later night has made
            counts as generated, so that a past night told again says what it said on its date.

    Raises:
        PlanError: A reused picture is not among the known ones.
    """
    drawn = _checked(files.drawn)
    verdicts = _verdicts(files.plan, drawn, known)
    served = verdicts.filter(pl.col("reason").is_null())
    return NightRecords(
        logical_date=files.paths.date,
        model_version=files.model_version,
        settings_hash=files.settings_hash,
        seed=config.seed,
        config=config.model_dump(mode="json", exclude=dict(_WITHOUT_EFFECT)),
        planned=files.plan.height,
        skipped=files.skipped.height,
        assets=_assets(files.plan, drawn),
        run_assets=served.select(list(NIGHT_SCHEMAS["run_assets"])),
        scores=_scores(drawn),
        rejections=verdicts.filter(pl.col("reason").is_not_null()).select(
            list(NIGHT_SCHEMAS["rejections"])
        ),
        problems=_problems(files.problems),
        cohorts=files.cohorts,
        plan_pairs=files.explained,
        originals=load_catalogue(config.catalogue).items.select(list(NIGHT_SCHEMAS["originals"])),
        drawing_times=files.drawing_times,
    )


def _checked(drawn: pl.DataFrame) -> pl.DataFrame:
    """Drawn pictures; one that nobody could show is turned into a rejection."""
    faults = image_faults(drawn.filter(pl.col("rejected_reason").is_null()))
    faulty = pl.col("detail").is_not_null()
    return (
        drawn.join(faults, on="asset_key", how="left", maintain_order="left")
        .with_columns(
            rejected_reason=pl.when(faulty)
            .then(pl.lit(_UNDECODABLE))
            .otherwise(pl.col("rejected_reason")),
            rejected_detail=pl.coalesce("detail", "rejected_detail"),
        )
        .drop("detail")
    )


def _verdicts(plan: pl.DataFrame, drawn: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """One row per planned pair: `origin`, and `reason` and `detail` where it was refused.

    Raises:
        PlanError: A pair was to be served from the warehouse, which does not know its picture.
    """
    made = drawn.select(
        "asset_key",
        pl.lit("generated").alias("origin"),
        pl.col("rejected_reason").alias("reason"),
        pl.col("rejected_detail").alias("detail"),
    )
    origin = pl.when("earlier").then(pl.lit("reused")).otherwise(pl.lit("generated"))
    found = known.select("asset_key", origin.alias("origin"), "reason", "detail")
    judged = pl.concat([made, found.join(made, on="asset_key", how="anti")])
    lost = plan.join(judged, on="asset_key", how="anti")
    if lost.height:
        pairs = [f"{user} / {item}" for user, item in lost.select("user_id", "item_id").iter_rows()]
        raise PlanError(
            f"{len(pairs)} pairs reuse a picture that the warehouse does not hold",
            location=", ".join(pairs[:_SHOWN]) + (", ..." if len(pairs) > _SHOWN else ""),
            remedy="The plan is older than the warehouse: plan the night again",
        )
    return plan.select("user_id", "item_id", "asset_key", "priority").join(
        judged, on="asset_key", how="inner", maintain_order="left"
    )


def _assets(plan: pl.DataFrame, drawn: pl.DataFrame) -> pl.DataFrame:
    """Pictures to store: drawn this night and not refused."""
    planned = plan.select("asset_key", "model_version", "history_ids").unique(
        "asset_key", keep="first", maintain_order=True
    )
    pictures = drawn.filter(pl.col("rejected_reason").is_null()).join(
        planned, on="asset_key", maintain_order="left"
    )
    columns = [name for name in NIGHT_SCHEMAS["assets"] if name in pictures.columns]
    return pictures.select(columns)


def _scores(drawn: pl.DataFrame) -> pl.DataFrame:
    """Long form of every `*_score` column; what could not be scored has no row."""
    metrics = [name for name in drawn.columns if name.endswith("_score")]
    if not metrics:
        return pl.DataFrame(schema=NIGHT_SCHEMAS["scores"])
    return (
        drawn.select("asset_key", pl.col(metrics).cast(pl.Float64))
        .unpivot(metrics, index="asset_key", variable_name="metric", value_name="value")
        .filter(pl.col("value").is_finite())
    )


def _problems(problems: pl.DataFrame) -> pl.DataFrame:
    return problems.select(list(NIGHT_SCHEMAS["problems"]))
