"""`python -m benchmarks.large_night`: publishing and promoting a night of 10 million assets.

The files of a drawn night are made first: a plan, and shards of small pictures of bundled artwork,
each with bytes of its own. A new process then runs `publish_night` and `promote_night` on them, so
that its peak memory, DuckDB's included, is that of these steps.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import resource
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.made_assets import commented, small_artwork
from benchmarks.result import Bar, Figure, Result, machine, stopwatch
from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.files import PLAN_SCHEMA, SHARD_SCHEMA, SKIPPED_SCHEMA
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = ["made_files", "publish_large"]

ASSETS = 10_000_000
PER_SHARD = 100_000
PER_USER = 2
SIDE = 8
MEMORY = 4.0  # GB
NIGHT = dt.date(2026, 6, 1)

_MODEL = "sticker-64@benchmark"
_HISTORY = ["noto/cat-face", "noto/dog-face", "noto/fox", "noto/lion", "noto/mouse-face"]
_SCORES = ("selection_score", "text_score", "history_score", "reference_score")


def made_files(config: NightlyConfig, count: int, *, date: dt.date = NIGHT) -> int:
    """Writes the files of a drawn night of `count` assets; returns the bytes of its pictures."""
    paths = NightPaths.of(config, date)
    paths.shards.mkdir(parents=True)
    plans = paths.night / "plans"
    plans.mkdir()
    size = 0
    for number, shard in enumerate(_shards(count, date)):
        size += sum(map(len, shard["image"]))
        shard.select(SHARD_SCHEMA.names()).write_parquet(paths.shard(number))
        time = {"assets": shard.height, "seconds": 1.7 * shard.height}
        paths.drawing_time(number).write_text(json.dumps(time), encoding="utf-8")
        _plan(shard, number).write_parquet(plans / f"{number:05d}.parquet")
    plan = pl.scan_parquet(plans)
    plan.sink_parquet(paths.plan)
    _explained(plan).sink_parquet(paths.explained)
    users = plan.select("user_id").filter(pl.int_range(pl.len()) % PER_USER == 0)
    users.with_columns(cohort=pl.lit("cohort:0")).sink_parquet(paths.cohorts)
    shutil.rmtree(plans)
    pl.DataFrame(schema=SKIPPED_SCHEMA).write_parquet(paths.skipped)
    pl.DataFrame(schema=NIGHT_SCHEMAS["problems"]).write_parquet(paths.problems)
    info = {"model_version": _MODEL, "settings_hash": "benchmark"}
    paths.plan_info.write_text(json.dumps(info), encoding="utf-8")
    return size


def _shards(count: int, date: dt.date) -> Iterator[pl.DataFrame]:
    artwork = small_artwork(SIDE)
    random = np.random.default_rng(0)
    for start in range(0, count, PER_SHARD):
        numbers = range(start, min(start + PER_SHARD, count))
        images = [commented(artwork[n % len(artwork)], f"{date} {n}".encode()) for n in numbers]
        height = len(images)
        columns: dict[str, object] = {
            "asset_key": [hashlib.sha256(f"{date} {n}".encode()).hexdigest() for n in numbers],
            "user_id": [f"user-{n // PER_USER:08d}" for n in numbers],
            "item_id": [f"item-{n % PER_USER:06d}" for n in numbers],
            "image": images,
            "format": ["png"] * height,
            "width": [SIDE] * height,
            "height": [SIDE] * height,
            "image_sha256": [hashlib.sha256(image).hexdigest() for image in images],
            "mask_ratio": random.choice([0.0, 0.2], height),
            "seed": [0] * height,
            **{name: random.random(height) for name in _SCORES},
            "rejected_reason": [None] * height,
            "rejected_detail": [None] * height,
        }
        yield pl.DataFrame(columns, schema=SHARD_SCHEMA)


def _plan(shard: pl.DataFrame, number: int) -> pl.DataFrame:
    return shard.select(
        "asset_key",
        "user_id",
        "item_id",
        status=pl.lit("generate"),
        priority=pl.col("selection_score"),
        history_ids=pl.lit(pl.Series([_HISTORY])).first(),
        history_scores=pl.lit(pl.Series([[0.5] * len(_HISTORY)])).first(),
        shard=pl.lit(number),
        model_version=pl.lit(_MODEL),
        settings_hash=pl.lit("benchmark"),
    ).cast(PLAN_SCHEMA)


def _explained(plan: pl.LazyFrame) -> pl.LazyFrame:
    schema = NIGHT_SCHEMAS["plan_pairs"]
    return plan.select(
        "user_id",
        "item_id",
        rank=pl.lit(1),
        score=pl.col("priority"),
        expected_views=pl.lit(1.0),
        expected_gain=pl.lit(0.5),
        reason=pl.lit("planned"),
        detail=pl.lit(None),
    ).cast(schema)


def publish_large(folder: Path, count: int) -> Result:
    """Publishes and promotes a night of `count` assets, and measures both steps."""
    config = NightlyConfig(work_dir=folder)
    making: list[float] = []
    with stopwatch(making):
        size = made_files(config, count)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        before, published, promoted, peaks = process.submit(_run, config).result()
    return Result(
        f"publish a night of {count:,} assets of {size / count:,.0f} bytes",
        [
            Figure("making its files", making[0], "s", "not counted"),
            Figure("publish_night", published, "s", f"{count / published:,.0f} assets/s"),
            Figure("promote_night", promoted, "s"),
            Figure("memory before", before, "GB"),
            Figure("peak memory of publish_night", peaks[0], "GB"),
            Figure("warehouse", NightPaths.of(config, NIGHT).warehouse.stat().st_size / 1e9, "GB"),
        ],
        [Bar("peak memory of both steps in GB", max(peaks), MEMORY, at_least=False)],
    )


def _run(config: NightlyConfig) -> tuple[float, float, float, tuple[float, float]]:
    """Runs both steps; returns memory before, the seconds of each, and the peak after each."""
    before, laps = _peak(), list[float]()
    with stopwatch(laps):
        publish_night(config, NIGHT)
    of_publish = _peak()
    with stopwatch(laps):
        promote_night(config)
    return before, laps[0], laps[1], (of_publish, _peak())


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Measures a night of the wanted size; exit status 1 if it needs too much memory."""
    parser = argparse.ArgumentParser(description="Publishes and promotes a large night.")
    parser.add_argument("--assets", type=int, default=ASSETS, help=f"default: {ASSETS:,}")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: /tmp)")
    options = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        result = publish_large(Path(folder), options.assets)
    print(result.table())
    print("machine\n" + "\n".join(f"  {name}: {value}" for name, value in facts.items()))
    if not all(bar.met for bar in result.bars):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
