"""The tables of a finished night, as they are handed to the warehouse."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.digests import canonical_json

__all__ = ["NIGHT_SCHEMAS", "NightFacts", "NightRecords"]

NIGHT_SCHEMAS: Final[Mapping[str, pl.Schema]] = {
    "assets": pl.Schema(
        {
            "asset_key": pl.String(),
            "user_id": pl.String(),
            "item_id": pl.String(),
            "image": pl.Binary(),
            "image_uri": pl.String(),
            "image_sha256": pl.String(),
            "format": pl.String(),
            "width": pl.Int32(),
            "height": pl.Int32(),
            "mask_ratio": pl.Float64(),
            "seed": pl.Int64(),
            "model_version": pl.String(),
            "history_ids": pl.List(pl.String()),
        }
    ),
    "run_assets": pl.Schema(
        {
            "user_id": pl.String(),
            "item_id": pl.String(),
            "asset_key": pl.String(),
            "origin": pl.String(),
            "priority": pl.Float64(),
        }
    ),
    "scores": pl.Schema({"asset_key": pl.String(), "metric": pl.String(), "value": pl.Float64()}),
    "rejections": pl.Schema(
        {
            "user_id": pl.String(),
            "item_id": pl.String(),
            "asset_key": pl.String(),
            "reason": pl.String(),
            "detail": pl.String(),
        }
    ),
    "problems": pl.Schema(
        {
            "kind": pl.String(),
            "subject": pl.String(),
            "location": pl.String(),
            "message": pl.String(),
        }
    ),
    "cohorts": pl.Schema({"user_id": pl.String(), "cohort": pl.String()}),
    "plan_pairs": pl.Schema(
        {
            "user_id": pl.String(),
            "item_id": pl.String(),
            "rank": pl.Int32(),
            "score": pl.Float64(),
            "expected_views": pl.Float64(),
            "expected_gain": pl.Float64(),
            "reason": pl.String(),
            "detail": pl.String(),
        }
    ),
    "originals": pl.Schema(
        {"item_id": pl.String(), "image_uri": pl.String(), "image_sha256": pl.String()}
    ),
    "drawing_times": pl.Schema(
        {"shard": pl.Int32(), "assets": pl.Int64(), "seconds": pl.Float64()}
    ),
}
"""Columns of the frames of a `NightRecords`."""


def _empty(name: str) -> pl.DataFrame:
    return pl.DataFrame(schema=NIGHT_SCHEMAS[name])


@dataclass(frozen=True)
class NightFacts:
    """What a night is, apart from its tables.

    Attributes:
        logical_date: The date the night is for; its ISO form is the run id.
        model_version: Model that draws this night.
        settings_hash: Hash of the settings that decide the pictures.
        seed: Root of the night's randomness.
        config: The configuration, as JSON values.
        planned: Pairs in the plan.
        skipped: Recommendations that could not be planned.
    """

    logical_date: dt.date
    model_version: str
    settings_hash: str
    seed: int
    config: Mapping[str, object]
    planned: int
    skipped: int

    @property
    def run_id(self) -> str:
        """Key of the night in every table, such as `2026-06-01`."""
        return self.logical_date.isoformat()

    def config_json(self) -> str:
        """Returns the configuration as canonical JSON: sorted keys, no spaces.

        Raises:
            WarehouseError: A value is not JSON.
        """
        try:
            return canonical_json(self.config)
        except (TypeError, ValueError) as error:
            raise WarehouseError(
                f"the configuration holds a value that is not JSON: {error}",
                location=f"night {self.run_id}",
                remedy="Pass `config.model_dump(mode='json')`",
            ) from error


@dataclass(frozen=True)
class NightRecords(NightFacts):
    """One night, or a part of it with all that belongs to its pictures, in memory.

    Columns and types of the frames are in `NIGHT_SCHEMAS`; `image_uri`, `detail`, `location` and
    `expected_gain` may be null, and `image_uri` may be left out.

    Attributes:
        assets: Assets that this night drew and serves, one row per `asset_key`; `image` holds
            encoded PNG or WebP bytes. Reused assets are not repeated.
        run_assets: Every served pair with its `asset_key`; `origin` is `generated` or `reused`.
        scores: Scores of the pictures drawn this night, rejected ones included, in long form.
        rejections: Pairs whose picture was rejected, with a stable reason code.
        problems: Bad items, images, users and rows that were left out.
        cohorts: The cohort of each user; a cohort's assets have its name as `user_id`.
        plan_pairs: The plan's decision on each recommendation.
        originals: The catalogue's own pictures.
        drawing_times: Time spent on each shard that was drawn; not part of the content hash.
    """

    assets: pl.DataFrame
    run_assets: pl.DataFrame
    scores: pl.DataFrame
    rejections: pl.DataFrame
    problems: pl.DataFrame = field(default_factory=lambda: _empty("problems"))
    cohorts: pl.DataFrame = field(default_factory=lambda: _empty("cohorts"))
    plan_pairs: pl.DataFrame = field(default_factory=lambda: _empty("plan_pairs"))
    originals: pl.DataFrame = field(default_factory=lambda: _empty("originals"))
    drawing_times: pl.DataFrame = field(default_factory=lambda: _empty("drawing_times"))
