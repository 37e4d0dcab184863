"""What a finished night hands to the warehouse."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from pigeon_rec.errors import WarehouseError

__all__ = ["NIGHT_SCHEMAS", "NightRecords"]

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
"""Columns of the frames of a `NightRecords`; an empty one is `pl.DataFrame(schema=...)`."""


def _nothing(name: str) -> pl.DataFrame:
    return pl.DataFrame(schema=NIGHT_SCHEMAS[name])


@dataclass(frozen=True)
class NightRecords:
    """One night, ready to be published.

    Columns and types of the frames are in `NIGHT_SCHEMAS`; `image_uri`, `detail`, `location` and
    `expected_gain` may be null, and `image_uri` may be left out.

    Attributes:
        logical_date: The date the night is for; its ISO form is the run id.
        model_version: Model that this night generates with.
        settings_hash: Hash of the generation settings.
        seed: Root of the night's randomness.
        config: The whole configuration, as JSON values.
        planned: Pairs in the plan.
        skipped: Candidates that could not be planned.
        assets: Pictures this night generated and serves, one row per `asset_key`; `image` holds
            encoded PNG or WebP bytes. Reused pictures are not repeated here.
        run_assets: Every served pair with the `asset_key` of its picture; `origin` is
            `generated` or `reused`.
        scores: Long form, for this night's generated pictures, accepted or rejected.
        rejections: Pairs whose picture was refused, with a stable reason code.
        problems: Bad items, images and users that were met and gone round.
        cohorts: Which cohort each user belongs to; pictures of a cohort are served to a user of
            the cohort's name.
        plan_pairs: What the plan made of each candidate pair.
        originals: The catalogue's own pictures.
        drawing_times: How long each shard took that was drawn; no part of what the night says.
    """

    logical_date: dt.date
    model_version: str
    settings_hash: str
    seed: int
    config: Mapping[str, object]
    planned: int
    skipped: int
    assets: pl.DataFrame
    run_assets: pl.DataFrame
    scores: pl.DataFrame
    rejections: pl.DataFrame
    problems: pl.DataFrame
    cohorts: pl.DataFrame = field(default_factory=lambda: _nothing("cohorts"))
    plan_pairs: pl.DataFrame = field(default_factory=lambda: _nothing("plan_pairs"))
    originals: pl.DataFrame = field(default_factory=lambda: _nothing("originals"))
    drawing_times: pl.DataFrame = field(default_factory=lambda: _nothing("drawing_times"))

    @property
    def run_id(self) -> str:
        """Name of the night in every table, such as `2026-06-01`."""
        return self.logical_date.isoformat()

    def config_json(self) -> str:
        """The configuration as canonical JSON: sorted keys, no spaces.

        Raises:
            WarehouseError: A value is not JSON.
        """
        try:
            return json.dumps(
                self.config,
                sort_keys=True,
                separators=(",", ":"),
                ensure_ascii=False,
                allow_nan=False,
            )
        except (TypeError, ValueError) as error:
            raise WarehouseError(
                f"the configuration holds a value that is not JSON: {error}",
                location=f"night {self.run_id}",
                remedy="Pass `config.model_dump(mode='json')`",
            ) from error
