"""Planning a night for a million recommendations: rows per second, and memory.

The plan is a real one, on the bundled catalogue with synthetic users: recommendations are read and
validated, every item image is read and embedded, histories are retrieved, cohorts are found and
requests are chosen. Only the encoder is a small stand-in, because the time of a network is not part
of planning.
"""

from __future__ import annotations

import datetime as dt
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.result import Bar, Figure, Result, stopwatch
from benchmarks.runner import main
from pigeon_rec.config import NightlyConfig, PlanConfig
from pigeon_rec.data.world import load_world
from pigeon_rec.nightly.plan import plan_night, recommend

__all__ = ["NIGHT", "Thumbnails", "made_inputs", "measure"]

_USERS = 50_000
_RECOMMENDATIONS = 20
_INTERACTIONS = 30
_BUDGET = 20_000
NIGHT = dt.date(2026, 6, 1)


class Thumbnails:
    """Encodes an image as its centred 8x8 thumbnail, 192 numbers."""

    encoder_id = "thumbnails"
    image_size = 64

    def encode_images(self, images: npt.NDArray[np.uint8], /) -> npt.NDArray[np.float32]:
        blocks = images.reshape(len(images), 8, 8, 8, 8, 3).mean(axis=(2, 4))
        flat = blocks.reshape(len(images), -1)
        centred: npt.NDArray[np.float32] = flat - flat.mean(axis=1, keepdims=True) + 1e-3
        return centred.astype(np.float32)


def measure(folder: Path, scale: float) -> Result:
    """Plans in a separate process, so that its peak memory is that of planning."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        found = process.submit(_plan, folder, scale).result()
    pairs, memory = found["pairs"], found["memory"]
    return Result(
        f"plan of {pairs:,.0f} recommendations of {int(_USERS * scale):,} users",
        [
            Figure("first plan", found["first"], "s", f"{found['planned']:,.0f} pairs planned"),
            Figure("rows", pairs / found["first"], "per s", "every item image read and embedded"),
            Figure("second plan", found["again"], "s", "item vectors cached"),
            Figure("rows, second plan", pairs / found["again"], "per s"),
            Figure("processor time", found["processor"], "s", "of both, on all cores"),
            Figure("peak memory", memory, "GB", "of the whole process"),
        ],
        [Bar("memory", memory, 4.0, at_least=False)],
    )


def _plan(folder: Path, scale: float) -> dict[str, float]:
    config = made_inputs(
        folder,
        int(_USERS * scale),
        PlanConfig(max_assets=_BUDGET, max_assets_per_user=2),
    )
    laps: list[float] = []
    began = time.process_time()
    for _ in range(2):
        with stopwatch(laps):
            recommend(config, NIGHT)
            summary = plan_night(config, NIGHT, encoder=Thumbnails(), model_version="benchmark")
    return {
        "first": laps[0],
        "again": laps[1],
        "processor": time.process_time() - began,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "pairs": summary.recommendations,
        "planned": summary.planned,
    }


def made_inputs(
    folder: Path,
    users: int,
    plan: PlanConfig,
    *,
    recommendations: int = _RECOMMENDATIONS,
    interactions: int = _INTERACTIONS,
    items: int | None = None,
) -> NightlyConfig:
    """Writes interactions and recommendations whose items follow a power law of popularity.

    Args:
        folder: Folder of the files and the work directory.
        users: Number of users.
        plan: Limits of the night.
        recommendations: Recommendations per user.
        interactions: Interactions per user within half a year, including repeats of an item.
        items: Number of bundled stickers to choose from; all by default.
    """
    random = np.random.default_rng(0)
    every = load_world("bundled").artwork()["item_id"]
    known = every if items is None else every.head(items)
    popularity = 1.0 / np.arange(1, len(known) + 1) ** 0.7
    names = pl.Series([f"u{user:06d}" for user in range(users)])

    def drawn(each: int) -> pl.DataFrame:
        chosen = random.choice(len(known), users * each, p=popularity / popularity.sum())
        owners = names.gather(np.repeat(np.arange(users), each))
        return pl.DataFrame([owners.alias("user_id"), known.gather(chosen).alias("item_id")])

    # More than needed, because repeated pairs are removed.
    pairs = drawn(2 * recommendations).unique(maintain_order=True)
    pairs = pairs.group_by("user_id", maintain_order=True).head(recommendations)
    scores = pl.Series("score", random.random(pairs.height))
    pairs.with_columns(scores).write_parquet(folder / "recommendations.parquet")
    last = dt.datetime.combine(NIGHT, dt.time(), dt.UTC)
    ages = random.integers(1, 180 * 86400, users * interactions)
    drawn(interactions).with_columns(pl.Series("age", ages)).select(
        "user_id",
        "item_id",
        timestamp=pl.lit(last).dt.cast_time_unit("us") - pl.duration(seconds="age"),
    ).write_parquet(folder / "interactions.parquet")
    return NightlyConfig(
        interactions=str(folder / "interactions.parquet"),
        recommendations=str(folder / "recommendations.parquet"),
        work_dir=folder / "var",
        plan=plan,
    )


if __name__ == "__main__":
    main(measure)
