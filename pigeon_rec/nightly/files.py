"""The files that the earlier steps of a night leave behind, read and checked for completeness."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = [
    "SHARD_SCHEMA",
    "NightFiles",
    "read_night",
    "read_table",
    "serving_paths",
    "shards_to_draw",
]

_SHOWN = 3
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
"""Columns of a generated shard; the scores may be others, all named `*_score`."""

# What a picture must tell, whichever scores it has.
_DRAWN_SCHEMA: Final = pl.Schema(
    {name: kind for name, kind in SHARD_SCHEMA.items() if not name.endswith("_score")}
)


@dataclass(frozen=True)
class NightFiles:
    """A planned and drawn night.

    Attributes:
        paths: Where it lies.
        plan: Pairs to be served.
        drawn: Pictures of this night, one row per `asset_key` that the plan wants drawn.
        skipped: Recommendations that could not be planned.
        explained: What the plan made of each recommendation.
        cohorts: `user_id, cohort`.
        drawing_times: `shard, assets, seconds` of the shards that were drawn and measured.
        problems: Bad items, images and rows met while planning.
        model_version: Model that the night generates with.
        settings_hash: Hash of its generation settings.
    """

    paths: NightPaths
    plan: pl.DataFrame
    drawn: pl.DataFrame
    skipped: pl.DataFrame
    explained: pl.DataFrame
    cohorts: pl.DataFrame
    drawing_times: pl.DataFrame
    problems: pl.DataFrame
    model_version: str
    settings_hash: str


def read_night(config: NightlyConfig, date: dt.date) -> NightFiles:
    """Reads what planning and drawing left behind.

    Raises:
        PlanError: A file of the plan is missing or damaged, or a picture that was to be drawn is
            in no shard; the message names the shards.
    """
    paths = NightPaths.of(config, date)
    plan = read_table(paths.plan, "plan")
    to_draw = plan.filter(pl.col("status") == "generate")
    info = _read_info(paths.plan_info)
    return NightFiles(
        paths=paths,
        plan=plan,
        drawn=_read_drawn(paths, to_draw),
        skipped=read_table(paths.skipped, "plan"),
        explained=read_table(paths.explained, "plan"),
        cohorts=read_table(paths.cohorts, "plan"),
        drawing_times=_read_times(paths, to_draw["shard"].unique().sort().to_list()),
        problems=read_table(paths.problems, "plan"),
        model_version=info["model_version"],
        settings_hash=info["settings_hash"],
    )


def read_table(path: Path, step: str) -> pl.DataFrame:
    """One parquet file of the night.

    Raises:
        PlanError: It is missing or damaged; the remedy names the `step` that writes it.
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
    """Returns the shards of the night's plan that hold at least one picture to generate.

    Raises:
        PlanError: The night has not been planned.
    """
    plan = NightPaths.of(config, date).plan
    if not plan.is_file():
        raise PlanError(
            "the night has no plan",
            location=str(plan),
            remedy="Run `pigeon-rec nightly plan` first",
        )
    to_draw = pl.scan_parquet(plan).filter(pl.col("status") == "generate")
    return to_draw.select(pl.col("shard").unique().sort()).collect().to_series().to_list()


def serving_paths(config: NightlyConfig) -> tuple[Path, Path]:
    """The warehouse that nights are published into, and the link that readers open."""
    # The same for all nights, so any date will do.
    paths = NightPaths.of(config, dt.date.min)
    return paths.warehouse, paths.serving


def _read_info(path: Path) -> dict[str, str]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(info[name]) for name in ("model_version", "settings_hash")}
    except (OSError, ValueError, KeyError) as error:
        raise PlanError(
            f"the summary of the plan is missing or damaged ({type(error).__name__}: {error})",
            location=str(path),
            remedy="Run `pigeon-rec nightly plan` for this date again",
        ) from error


def _read_times(paths: NightPaths, shards: Sequence[int]) -> pl.DataFrame:
    """What was measured; a damaged note is only a lost measurement."""
    noted: list[tuple[int, int, float]] = []
    for shard in shards:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(paths.drawing_time(shard).read_text(encoding="utf-8"))
            noted.append((shard, int(note["assets"]), float(note["seconds"])))
    times = pl.DataFrame(noted, schema=NIGHT_SCHEMAS["drawing_times"], orient="row")
    return times.filter(pl.col("assets") > 0, pl.col("seconds") > 0, pl.col("seconds").is_finite())


def _read_drawn(paths: NightPaths, wanted: pl.DataFrame) -> pl.DataFrame:
    """Rows of the wanted keys from all shards; rows of an older plan are left out."""
    numbers = wanted["shard"].unique().sort().to_list()
    shards = [_read_shard(paths.shard(n)) for n in numbers if paths.shard(n).is_file()]
    if shards:
        drawn = pl.concat(shards, how="diagonal_relaxed")
    else:
        drawn = pl.DataFrame(schema=_DRAWN_SCHEMA)
    drawn = drawn.join(wanted, on="asset_key", how="semi", maintain_order="left").unique(
        "asset_key", keep="first", maintain_order=True
    )
    _check_complete(paths, wanted.join(drawn, on="asset_key", how="anti"))
    return drawn


def _read_shard(path: Path) -> pl.DataFrame:
    shard = read_table(path, "generate")
    missing = [name for name in _DRAWN_SCHEMA if name not in shard.columns]
    if missing:
        raise PlanError(
            f"a shard lacks the columns {', '.join(missing)}",
            location=str(path),
            remedy="Remove the file and run `pigeon-rec nightly generate` again",
        )
    return shard.cast(_DRAWN_SCHEMA)


def _check_complete(paths: NightPaths, lost: pl.DataFrame) -> None:
    if not lost.height:
        return
    by_shard = lost.group_by("shard").agg(pl.len().alias("pairs")).sort("shard")
    told = [
        f"{paths.shard(number).name} ({pairs} pairs"
        f"{'' if paths.shard(number).is_file() else ', no such file'})"
        for number, pairs in by_shard.iter_rows()
    ]
    more = f" and {len(told) - _SHOWN} more shards" if len(told) > _SHOWN else ""
    raise PlanError(
        f"{lost.height} planned pictures were not drawn: {', '.join(told[:_SHOWN])}{more}",
        location=str(paths.shards),
        remedy="Run `pigeon-rec nightly generate` for the missing shards, then publish again",
    )
