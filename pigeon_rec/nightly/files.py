"""Reading the files of a planned and drawn night, and checking that they are complete."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = ["SHARD_SCHEMA", "read_drawing_times", "read_shards", "read_table", "shards_to_draw"]

_EXAMPLES: Final = 3
SHARD_SCHEMA: Final = pl.Schema(
    {
        "asset_key": pl.String(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "image": pl.Binary(),
        "format": pl.String(),
        "width": pl.Int32(),
        "height": pl.Int32(),
        "image_sha256": pl.String(),
        "mask_ratio": pl.Float64(),
        "seed": pl.Int64(),
        "text_score": pl.Float64(),
        "history_score": pl.Float64(),
        "reference_score": pl.Float64(),
        "selection_score": pl.Float64(),
        "rejected_reason": pl.String(),
        "rejected_detail": pl.String(),
    }
)
"""Columns of a generated shard; other scores are allowed, if they are named `*_score`."""

_REQUIRED: Final = pl.Schema(
    {name: kind for name, kind in SHARD_SCHEMA.items() if not name.endswith("_score")}
)


def read_table(path: Path, step: str) -> pl.DataFrame:
    """Reads one parquet file of the night.

    Raises:
        PlanError: The file is missing or damaged; the remedy names the `step` that writes it.
    """
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise PlanError(
            "a file of the night is missing" if missing else f"cannot read a file: {error}",
            location=str(path),
            remedy=f"Run `pigeon-rec nightly {step}` for this date first",
        ) from error


def shards_to_draw(config: NightlyConfig, date: dt.date) -> list[int]:
    """Returns the shards of the night's plan with at least one picture to generate.

    Raises:
        PlanError: The night has not been planned.
    """
    plan = read_table(NightPaths.of(config, date).plan, "plan")
    return plan.filter(pl.col("status") == "generate")["shard"].unique().sort().to_list()


def read_shards(paths: NightPaths, plan: pl.DataFrame) -> pl.DataFrame:
    """Reads the pictures that the plan wants drawn, one row per `asset_key`, from all shards.

    Rows of an older plan are left out.

    Raises:
        PlanError: A shard is damaged, or a planned picture is in no shard; the message names the
            shards.
    """
    to_draw = plan.filter(pl.col("status") == "generate")
    numbers = to_draw["shard"].unique().sort().to_list()
    shards = [_read_shard(paths.shard(n)) for n in numbers if paths.shard(n).is_file()]
    drawn = pl.concat([pl.DataFrame(schema=_REQUIRED), *shards], how="diagonal_relaxed")
    drawn = drawn.join(to_draw, on="asset_key", how="semi", maintain_order="left").unique(
        "asset_key", keep="first", maintain_order=True
    )
    missing = to_draw.join(drawn, on="asset_key", how="anti")
    if missing.height:
        raise _incomplete(paths, missing)
    return drawn


def read_drawing_times(paths: NightPaths, plan: pl.DataFrame) -> pl.DataFrame:
    """Reads `shard, assets, seconds` of the measured shards; damaged files are left out."""
    measured: list[tuple[int, int, float]] = []
    for shard in plan.filter(pl.col("status") == "generate")["shard"].unique().sort():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            time = json.loads(paths.drawing_time(shard).read_text(encoding="utf-8"))
            measured.append((shard, int(time["assets"]), float(time["seconds"])))
    times = pl.DataFrame(measured, schema=NIGHT_SCHEMAS["drawing_times"], orient="row")
    return times.filter(pl.col("assets") > 0, pl.col("seconds") > 0, pl.col("seconds").is_finite())


def _read_shard(path: Path) -> pl.DataFrame:
    shard = read_table(path, "generate")
    missing = [name for name in _REQUIRED if name not in shard.columns]
    if missing:
        raise PlanError(
            f"a shard lacks the columns {', '.join(missing)}",
            location=str(path),
            remedy="Remove the file and run `pigeon-rec nightly generate` again",
        )
    return shard.cast(_REQUIRED)


def _incomplete(paths: NightPaths, missing: pl.DataFrame) -> PlanError:
    by_shard = missing["shard"].value_counts().sort("shard")
    shards = [
        f"{paths.shard(number).name} ({count} requests"
        f"{'' if paths.shard(number).is_file() else ', no such file'})"
        for number, count in by_shard.iter_rows()
    ]
    more = f" and {len(shards) - _EXAMPLES} more shards" if len(shards) > _EXAMPLES else ""
    return PlanError(
        f"{missing.height} planned pictures were not drawn: {', '.join(shards[:_EXAMPLES])}{more}",
        location=str(paths.shards),
        remedy="Run `pigeon-rec nightly generate` for the missing shards, then publish again",
    )
