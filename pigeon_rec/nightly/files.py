"""Reading the files of a planned and drawn night, and checking that they are complete."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import PlanError, may_pass
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.runtime.files import read_json, read_parquet
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = [
    "PLAN_SCHEMA",
    "SHARD_SCHEMA",
    "SKIPPED_SCHEMA",
    "read_drawing_times",
    "read_plan_info",
    "read_shards",
    "read_table",
    "shards_to_draw",
]

_EXAMPLES: Final = 3
PLAN_SCHEMA: Final = pl.Schema(
    {
        "asset_key": pl.String(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "status": pl.String(),
        "priority": pl.Float64(),
        "history_ids": pl.List(pl.String()),
        "history_scores": pl.List(pl.Float32()),
        "shard": pl.Int32(),
        "model_version": pl.String(),
        "settings_hash": pl.String(),
    }
)
"""Columns of `plan.parquet`; `status` is `generate` or `reuse`."""

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

SKIPPED_SCHEMA: Final = pl.Schema(
    dict.fromkeys(("user_id", "item_id", "reason", "detail"), pl.String())
)
"""Columns of the recommendations that cannot be planned."""

_REQUIRED: Final = pl.Schema(
    {name: kind for name, kind in SHARD_SCHEMA.items() if not name.endswith("_score")}
)


def read_table(
    path: Path, step: str, schema: Mapping[str, pl.DataType] | None = None
) -> pl.DataFrame:
    """Reads one parquet file of the night, with the columns of `schema` if it is given.

    Raises:
        PlanError: The file is missing or damaged; the remedy names the `step` that writes it.
    """
    try:
        table = read_parquet(path)
        if schema is None:
            return table
        return table.select(pl.col(name).cast(kind) for name, kind in schema.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise PlanError(
            "a file of the night is missing" if missing else f"cannot read a file: {error}",
            location=str(path),
            remedy=f"Run `pigeon-rec nightly {step}` for this date first",
            retryable=isinstance(error, OSError) and may_pass(error),
        ) from error


def read_plan_info(paths: NightPaths) -> dict[str, Any]:
    """Reads `plan.json`, which has at least `model_version` and `settings_hash`.

    Raises:
        PlanError: The file is missing or damaged.
    """
    try:
        info: dict[str, Any] = read_json(paths.plan_info)
        if all(isinstance(info[name], str) for name in ("model_version", "settings_hash")):
            return info
        raise TypeError("its versions are no text")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(
            f"the summary of the plan is missing or damaged ({type(error).__name__}: {error})",
            location=str(paths.plan_info),
            remedy="Run `pigeon-rec nightly plan` for this date again",
        ) from error


def shards_to_draw(config: NightlyConfig, date: dt.date) -> list[int]:
    """Returns the shards of the night's plan with at least one picture to generate.

    Raises:
        PlanError: The night has not been planned.
    """
    columns = {"status": pl.String(), "shard": pl.Int32()}
    plan = read_table(NightPaths.of(config, date).plan, "plan", columns)
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
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
            time = read_json(paths.drawing_time(shard))
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
