"""Drawing one shard of the night's plan into one parquet file.

An asset's bytes depend on its `asset_key`, the seed and the model only: not on the shard it is in,
its neighbours or their order. What an earlier run of the same plan has finished is kept.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig, QualityGateConfig
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.attempt import attempt, check_failures
from pigeon_rec.drawing.drawer import Drawer, DrawnAsset
from pigeon_rec.drawing.gate import read_night_gate
from pigeon_rec.drawing.models import night_model
from pigeon_rec.errors import PlanError
from pigeon_rec.model.placing import set_threads
from pigeon_rec.nightly.files import PLAN_SCHEMA, SHARD_SCHEMA, read_table
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.runtime.files import read_parquet, write_json, write_parquet
from pigeon_rec.runtime.images import encode_image
from pigeon_rec.runtime.parallel import Report, map_processes
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.scoring import Rejection

__all__ = ["SHARD_SCHEMA", "ShardSummary", "generate_shard"]

_Row = dict[str, Any]


@dataclass(frozen=True)
class ShardSummary:
    """Counts of one shard.

    Attributes:
        generated: Requests drawn by this call, failed ones included; 0 if all were finished.
        kept: Requests that an earlier call had finished.
        rejected: Requests without an asset: refused by the quality gate, or failed.
    """

    shard: int
    path: str
    generated: int
    kept: int
    rejected: int


def generate_shard(
    config: NightlyConfig, date: dt.date, shard: int, *, progress: Progress = silent
) -> ShardSummary:
    """Draws every `generate` row of one shard into `shards/shard-NNNN.parquet`.

    Raises:
        PlanError: The night has not been planned, or has no such shard.
        ModelError: The model cannot be loaded.
        DrawingError: Drawing failed for every request.
    """
    paths = NightPaths.of(config, date)
    plan = _shard_plan(paths, shard)
    kept = _finished(paths, shard, plan)
    missing = plan.join(kept, on="asset_key", how="anti", maintain_order="left")
    if missing.is_empty():
        return _summary(paths, shard, kept, generated=0)
    version = plan["model_version"][0]
    model = night_model(config, version)
    began = monotonic()
    gate = read_night_gate(paths.gate, config).limits
    new = _draw(missing, config, model.source, gate, progress)
    check_failures(new["rejected_reason"].to_list(), f"shard {shard} of {paths.run_id}")
    drawn = pl.concat([kept, new]).sort("asset_key")
    write_parquet(drawn, paths.shard(shard))
    if kept.is_empty():  # loading included: budgets in minutes are based on it
        taken = {"assets": drawn.height, "seconds": round(monotonic() - began, 3)}
        write_json(taken, paths.drawing_time(shard))
    return _summary(paths, shard, drawn, generated=new.height)


def _shard_plan(paths: NightPaths, shard: int) -> pl.DataFrame:
    plan = read_table(paths.plan, "plan", PLAN_SCHEMA)
    last = max(plan["shard"], default=0)
    if not 0 <= shard <= last:
        remedy = f"Give a number from 0 to {last}"
        raise PlanError(f"the plan has no shard {shard}", location=str(paths.plan), remedy=remedy)
    wanted = (pl.col("shard") == shard) & (pl.col("status") == "generate")
    return plan.filter(wanted).unique("asset_key", keep="first").sort("asset_key")


def _finished(paths: NightPaths, shard: int, plan: pl.DataFrame) -> pl.DataFrame:
    """Reads the planned assets of the shard's file that need not be drawn again.

    Left out are damaged pictures, and requests whose drawing failed.
    """
    none = pl.DataFrame(schema=SHARD_SCHEMA)
    try:
        drawn = read_parquet(paths.shard(shard))
    except (OSError, pl.exceptions.PolarsError):
        return none
    if drawn.schema != SHARD_SCHEMA:
        return none
    sound = [
        (image is None or hashlib.sha256(image).hexdigest() == sha256) and reason not in FAILURES
        for image, sha256, reason in drawn.select(
            "image", "image_sha256", "rejected_reason"
        ).iter_rows()
    ]
    return drawn.filter(pl.Series(sound, dtype=pl.Boolean)).join(
        plan, on="asset_key", how="semi", maintain_order="left"
    )


def _summary(paths: NightPaths, shard: int, drawn: pl.DataFrame, generated: int) -> ShardSummary:
    return ShardSummary(
        shard=shard,
        path=str(paths.shard(shard)),
        generated=generated,
        kept=drawn.height - generated,
        rejected=drawn.height - drawn["rejected_reason"].null_count(),
    )


def _draw(
    plan: pl.DataFrame,
    config: NightlyConfig,
    model: str,
    gate: QualityGateConfig,
    progress: Progress,
) -> pl.DataFrame:
    """Draws all rows of `plan`, in `config.processes` parts, as a frame of `SHARD_SCHEMA`."""
    count, done = max(1, min(config.processes, plan.height)), 0
    shard = plan["shard"][0]

    def report(more: int) -> None:
        nonlocal done
        done += more
        progress(f"assets of shard {shard}", done, plan.height)

    parts = [plan.gather_every(count, first) for first in range(count)]
    drawn = map_processes(partial(_draw_part, config, model, gate), parts, report)
    return pl.concat(drawn).sort("asset_key")


def _draw_part(
    config: NightlyConfig,
    model: str,
    gate: QualityGateConfig,
    plan: pl.DataFrame,
    report: Report,
) -> pl.DataFrame:
    if config.threads or config.processes > 1:
        set_threads(config.threads or max(1, (os.cpu_count() or 1) // config.processes))
    drawer = Drawer.load(
        model,
        catalogue=config.catalogue,
        scenario=config.scenario,
        generation=config.generation,
        gate=gate,
        placement=config.placement,
        scorer=config.scorer,
        backbone=config.backbone,
    )
    requests = [_request(row, config.seed) for row in plan.iter_rows(named=True)]
    items = drawer.items(requests)
    rows: list[_Row] = []
    for start in range(0, plan.height, config.batch_size):
        batch = slice(start, start + config.batch_size)
        drawn = attempt(drawer, requests[batch], items)
        rows += [
            _row(asset, one) if isinstance(one, Rejection) else _drawn_row(asset, one, drawer)
            for asset, one in zip(plan[batch].to_dicts(), drawn, strict=True)
        ]
        report(len(drawn))
    seed = pl.lit(config.seed, pl.Int64).alias("seed")
    return pl.DataFrame(rows, schema=SHARD_SCHEMA).with_columns(seed)


def _request(row: Mapping[str, Any], seed: int) -> Request:
    key = f"{row['asset_key']}/{seed}"
    return Request(key, history=tuple(row["history_ids"]), reference=row["item_id"])


def _drawn_row(asset: _Row, drawn: DrawnAsset, drawer: Drawer) -> _Row:
    image, encoding = drawer.prompt.aspect.from_square(drawn.image), drawer.generation.image_format
    content = encode_image(image, encoding)
    return {
        **_row(asset, drawn.choice.rejection),
        "image": content,
        "format": encoding,
        "width": image.shape[1],
        "height": image.shape[0],
        "image_sha256": hashlib.sha256(content).hexdigest(),
        "mask_ratio": drawn.mask_ratio,
        **{name: score for name, score in drawn.choice.scores.items() if name in SHARD_SCHEMA},
    }


def _row(asset: _Row, rejection: Rejection | None) -> _Row:
    return {
        **dict.fromkeys(SHARD_SCHEMA.names()),
        **{name: asset[name] for name in ("asset_key", "user_id", "item_id")},
        "rejected_reason": rejection.reason if rejection else None,
        "rejected_detail": rejection.detail if rejection else None,
    }
