"""A whole night in one process: every step in order, and one summary of it all.

The Airflow DAG runs the same steps as tasks of their own; files on disk are all they share, so a
night that stopped half-way goes on from there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.files import shards_to_draw
from pigeon_rec.nightly.generate import generate_shard
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan.night import plan_night
from pigeon_rec.nightly.plan.recommendations import recommend
from pigeon_rec.nightly.publish.night import promote_night, publish_night
from pigeon_rec.nightly.report.night import report_night
from pigeon_rec.runtime.lock import hold
from pigeon_rec.runtime.progress import Progress, silent

__all__ = ["NightSummary", "run_night"]


@dataclass(frozen=True)
class NightSummary:
    """What one run of a night did.

    Attributes:
        run_id: The night.
        changed: False where the same night was published before with the same content.
        planned: Pairs of the plan.
        drawn: Pictures that this run had to draw; 0 where all could be reused.
        served: Pairs that readers get a picture for.
        users: People among them.
        generated: Served pairs whose picture this night made, now or when it ran before.
        reused: Served pairs whose picture an earlier night made.
        rejected: Pairs whose picture was refused.
        skipped: Recommendations that could not be planned.
        reasons: Rejections by reason.
        snapshot: The file that readers get.
        report: The numbers of the night.
        gallery: The night as a page.
        seconds: Wall-clock time of every step.
    """

    run_id: str
    changed: bool
    planned: int
    drawn: int
    served: int
    users: int
    generated: int
    reused: int
    rejected: int
    skipped: int
    reasons: Mapping[str, int]
    snapshot: Path
    report: Path
    gallery: Path
    seconds: Mapping[str, float]


def run_night(config: NightlyConfig, date: dt.date, *, progress: Progress = silent) -> NightSummary:
    """Recommends, plans, draws, publishes, promotes and reports one night.

    Args:
        config: Settings of the night.
        date: Logical date.
        progress: Told of every finished batch.

    Raises:
        WorkDirBusyError: Another run is at work in the same folder.
        PigeonError: A step cannot run. What was published before stays as it was, unless the
            night itself got so far.
    """
    with hold(NightPaths.of(config, date), "run"):
        return _run_alone(config, date, progress)


def _run_alone(config: NightlyConfig, date: dt.date, progress: Progress) -> NightSummary:
    clock = _Clock()
    recommend(config, date, progress=progress)
    clock.lap("recommend")
    plan_night(config, date, progress=progress)
    clock.lap("plan")
    for shard in shards_to_draw(config, date):
        generate_shard(config, date, shard, progress=progress)
    clock.lap("generate")
    published = publish_night(config, date)
    clock.lap("publish")
    snapshot = promote_night(config)
    clock.lap("promote")
    reported = report_night(config, date)
    clock.lap("report")
    return NightSummary(
        run_id=published.run_id,
        changed=published.changed,
        planned=published.planned,
        drawn=_drawn(config, date),
        served=published.served,
        users=reported.users,
        generated=published.generated,
        reused=published.reused,
        rejected=published.rejected,
        skipped=published.skipped,
        reasons=published.reasons,
        snapshot=snapshot,
        report=reported.report,
        gallery=reported.gallery,
        seconds=clock.laps,
    )


class _Clock:
    """Time from one lap to the next."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = monotonic()

    def lap(self, step: str) -> None:
        now = monotonic()
        self.laps[step] = round(now - self._last, 2)
        self._last = now


def _drawn(config: NightlyConfig, date: dt.date) -> int:
    plan = pl.scan_parquet(NightPaths.of(config, date).plan)
    to_draw = plan.filter(pl.col("status") == "generate").select(pl.col("asset_key").n_unique())
    return int(to_draw.collect().item())
