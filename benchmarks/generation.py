"""`python -m benchmarks.generation`: the published loop against a night, on the same weights.

Both draw the same held-out cases of test users (`benchmarks.techniques` says how), the night from a
plan and with the loading of model, catalogue and scorer included. They alternate by blocks of
cases, so that a busy moment of the machine affects both.

`--ablation N` shows for N cases what each technique brings alone, what all bring without it, and
what the optional ones would add.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.result import Bar, Figure, Result
from benchmarks.runner import run
from benchmarks.techniques import (
    ALL,
    MODEL,
    NAMES,
    NONE,
    OPTIONAL_NAMES,
    Techniques,
    draw,
    drawer_for,
    label,
    selection_scores,
)
from pigeon_rec.config import NightlyConfig
from pigeon_rec.drawing import Request
from pigeon_rec.evaluation.cases import held_out_cases
from pigeon_rec.evaluation.tables import write_between
from pigeon_rec.model.version import model_version
from pigeon_rec.nightly.generate import generate_shard
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import PLAN_SCHEMA
from pigeon_rec.runtime.bootstrap import Interval, paired_interval
from pigeon_rec.runtime.files import write_parquet

__all__ = ["BEGIN", "END", "Clock", "Row", "World", "ablation", "compared", "measure", "table"]

CASES: Final = 200
FASTER: Final = 6.0
BEGIN: Final = "<!-- generation: begin -->"
END: Final = "<!-- generation: end -->"

_SEED = 0
_BLOCK = 48  # cases drawn in turn; six batches of the model
_DATE = dt.date(2026, 6, 1)

Scores = NDArray[np.float64]


@dataclass
class Clock:
    """Wall-clock and processor seconds; on a busy machine only the latter are comparable."""

    wall: float = 0.0
    processor: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Adds the duration of its block."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.processor += time.process_time() - processor


@dataclass(frozen=True)
class World:
    """Cases, and a work directory in which they are planned as a night."""

    cases: pl.DataFrame
    folder: Path

    @cached_property
    def requests(self) -> list[Request]:
        """One request per case, with the key that a night would give it."""
        wanted = self.cases.select("case_id", "history_ids", "reference_id")
        return [
            Request(f"{_asset_key(case)}/{_SEED}", history=tuple(history), reference=reference)
            for case, history, reference in wanted.iter_rows()
        ]

    @property
    def blocks(self) -> list[NDArray[np.int64]]:
        """Rows of the cases that are drawn in turn."""
        count = math.ceil(self.cases.height / _BLOCK)
        return np.array_split(np.arange(self.cases.height), count)

    @cached_property
    def night(self) -> NightlyConfig:
        """A planned night of the cases, one shard per block."""
        config = NightlyConfig(work_dir=self.folder, seed=_SEED)
        shard = np.concatenate([np.full(len(rows), i) for i, rows in enumerate(self.blocks)])
        plan = self.cases.select(
            pl.col("case_id").map_elements(_asset_key, return_dtype=pl.String()).alias("asset_key"),
            "user_id",
            pl.col("reference_id").alias("item_id"),
            pl.lit("generate").alias("status"),
            pl.lit(1.0).alias("priority"),
            "history_ids",
            pl.lit([], dtype=pl.List(pl.Float32)).alias("history_scores"),
            pl.Series("shard", shard, dtype=pl.Int32()),
            pl.lit(model_version(config.model)).alias("model_version"),
            pl.lit("benchmark").alias("settings_hash"),
        )
        write_parquet(plan.cast(PLAN_SCHEMA), NightPaths.of(config, _DATE).plan)
        return config


def measure(folder: Path, scale: float) -> Result:
    """Draws cases by the loop and as a night; `scale` multiplies the number of cases."""
    world = World(held_out_cases(max(2, round(CASES * scale)), _SEED), folder)
    drawer, requests, night = drawer_for(NONE), world.requests, world.night
    loop, ours, images, files = Clock(), Clock(), [], []
    for shard, rows in enumerate(world.blocks):
        with loop.running():
            images.append(draw(drawer, [requests[row] for row in rows], NONE))
        with ours.running():
            files.append(generate_shard(night, _DATE, shard).path)
    with loop.running():
        drawn = np.concatenate(images)
        theirs = selection_scores(drawer, requests, drawn, keep_scorer=NONE.scorer).max(axis=1)
    keys = [request.key.rpartition("/")[0] for request in requests]
    served = pl.concat([pl.read_parquet(path) for path in files])
    mine = pl.DataFrame({"asset_key": keys}).join(
        served, on="asset_key", how="left", maintain_order="left"
    )["selection_score"]
    return compared(loop, ours, theirs, mine.to_numpy())


def compared(loop: Clock, ours: Clock, theirs: Scores, mine: Scores) -> Result:
    """Durations of both ways, and the selection scores of what they chose, one per case."""
    cases = len(theirs)
    apart = paired_interval(mine, theirs)
    doubt = f"95 % interval {apart.low:+.4f} to {apart.high:+.4f}, paired"
    return Result(
        f"generation: {cases} held-out cases, published loop against a night",
        [
            Figure("loop", loop.wall / cases, "s", "per case"),
            Figure("night", ours.wall / cases, "s", "per case"),
            Figure("loop, processor", loop.processor / cases, "s", "per case"),
            Figure("night, processor", ours.processor / cases, "s", "per case"),
            Figure("ratio, processor", loop.processor / ours.processor, "x"),
            Figure("loop, selection score", float(theirs.mean()), "", "best of 11"),
            Figure("night, selection score", float(mine.mean()), "", "of what is served"),
            Figure("night above loop", apart.mean, "", doubt),
        ],
        [
            Bar("loop / night", loop.wall / ours.wall, FASTER),
            Bar("score / loop's score", float(mine.mean() / theirs.mean()), 1.0),
        ],
    )


@dataclass(frozen=True)
class Row:
    """One line of the ablation: processor seconds per case, and the scores of what it chose."""

    label: str
    seconds: float
    scores: Scores


def ablation(requests: Sequence[Request], model: str = MODEL) -> list[Row]:
    """The loop, each technique alone, all but each, all, and all with each optional one."""
    ways = {"the published loop": NONE}
    ways |= {f"only: {label(name)}": replace(NONE, **{name: True}) for name in NAMES}
    ways |= {f"all but: {label(name)}": replace(ALL, **{name: False}) for name in NAMES}
    ways["all, as a night"] = ALL
    ways |= {f"all, and: {label(name)}": replace(ALL, **{name: True}) for name in OPTIONAL_NAMES}
    return [_row(title, requests, techniques, model) for title, techniques in ways.items()]


def _row(title: str, requests: Sequence[Request], techniques: Techniques, model: str) -> Row:
    drawer, clock = drawer_for(techniques, model), Clock()
    if techniques.compiled:  # compilation happens at the first use, and is not counted
        draw(drawer, requests[:1], techniques)
    with clock.running():
        images = draw(drawer, requests, techniques)
        scores = selection_scores(
            drawer, requests, images, keep_scorer=techniques.scorer, model=model
        )
    return Row(title, clock.processor / len(requests), scores.max(axis=1))


def table(rows: Sequence[Row]) -> str:
    """The ablation in Markdown; all rows are compared with the first."""
    loop = rows[0]
    lines = [
        f"{len(loop.scores)} cases; seconds of one processor a case; selection scores x 100, with "
        "95 % paired bootstrap intervals of the difference to the loop.",
        "",
        "| drawn by | seconds | times as fast | score | above the loop |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        apart = paired_interval(row.scores, loop.scores)
        lines.append(
            f"| {row.label} | {row.seconds:.2f} | {loop.seconds / row.seconds:.1f} "
            f"| {100 * row.scores.mean():.1f} | {_shown(apart)} |"
        )
    return "\n".join(lines) + "\n"


def _shown(apart: Interval) -> str:
    return f"{100 * apart.mean:+.1f} ({100 * apart.low:+.1f} to {100 * apart.high:+.1f})"


def _asset_key(case_id: str) -> str:
    return hashlib.sha256(case_id.encode()).hexdigest()


def _command() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="held-out cases; 0 is none")
    parser.add_argument("--ablation", type=int, default=0, help="cases of the ablation; 0 is none")
    parser.add_argument("--table", type=Path, help="file for the ablation, between its marks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.ablation:
        with tempfile.TemporaryDirectory() as folder:
            requests = World(held_out_cases(options.ablation, _SEED), Path(folder)).requests
        shown = table(ablation(requests))
        print(shown, flush=True)
        if options.table is not None:
            write_between(shown, options.table, BEGIN, END)
    if options.cases:
        run([measure], scale=options.cases / CASES, as_json=options.json)


if __name__ == "__main__":
    _command()
