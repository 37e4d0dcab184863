"""Reading the files of a planned and drawn night, and checking that they are complete."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import PlanError, may_pass
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.runtime.files import read_json, read_parquet, scan_parquet
from pigeon_rec.warehouse import NIGHT_SCHEMAS
from pigeon_rec.warehouse.drawn import not_drawn

__all__ = [
    "PLAN_SCHEMA",
    "SHARD_SCHEMA",
    "SKIPPED_SCHEMA",
    "drawn_shards",
    "file_errors",
    "read_drawing_times",
    "read_plan_info",
    "read_shard",
    "read_table",
    "scan_table",
    "shards_to_draw",
]

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
    with file_errors(path, step):
        table = read_parquet(path)
        if schema is None:
            return table
        return table.select(pl.col(name).cast(kind) for name, kind in schema.items())


def scan_table(
    path: Path, step: str, schema: Mapping[str, pl.DataType] | None = None
) -> pl.LazyFrame:
    """Opens one parquet file of the night as `read_table`, without reading its rows.

    Raises:
        PlanError: As `read_table`, as far as the head of the file tells.
    """
    with file_errors(path, step):
        table = scan_parquet(path)
        if schema is not None:
            table = table.select(pl.col(name).cast(kind) for name, kind in schema.items())
        table.collect_schema()
        return table


@contextlib.contextmanager
def file_errors(path: Path, step: str) -> Iterator[None]:
    """Turns what polars raises for a file of the night into a `PlanError` that names its `step`."""
    try:
        yield
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


def drawn_shards(paths: NightPaths, plan: pl.LazyFrame) -> dict[int, Path]:
    """Returns the files of the shards with pictures to draw, by number.

    Raises:
        PlanError: A file is missing, damaged or lacks columns; missing ones are named.
    """
    to_draw = plan.filter(pl.col("status") == "generate").group_by("shard").len().sort("shard")
    counts = dict(to_draw.collect(engine="streaming").iter_rows())
    shards = {shard: paths.shard(shard) for shard in counts}
    if missing := {shard: counts[shard] for shard in shards if not shards[shard].is_file()}:
        raise not_drawn(missing, shards, paths.shards)
    for path in shards.values():
        found = scan_table(path, "generate").collect_schema()
        if lacking := [name for name in _REQUIRED if name not in found]:
            raise PlanError(
                f"a shard lacks the columns {', '.join(lacking)}",
                location=str(path),
                remedy="Remove the file and run `pigeon-rec nightly generate` again",
            )
    return shards


def read_shard(path: Path) -> pl.DataFrame:
    """Reads a file of `drawn_shards`.

    Raises:
        PlanError: It is damaged.
    """
    with file_errors(path, "generate"):
        return read_parquet(path).cast(_REQUIRED)


def read_drawing_times(paths: NightPaths, shards: Iterable[int]) -> pl.DataFrame:
    """Reads `shard, assets, seconds` of the measured shards; damaged files are left out."""
    measured: list[tuple[int, int, float]] = []
    for shard in shards:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
            time = read_json(paths.drawing_time(shard))
            measured.append((shard, int(time["assets"]), float(time["seconds"])))
    times = pl.DataFrame(measured, schema=NIGHT_SCHEMAS["drawing_times"], orient="row")
    return times.filter(pl.col("assets") > 0, pl.col("seconds") > 0, pl.col("seconds").is_finite())
