"""A whole night in one process: every step in order, and one summary.

The Airflow DAG runs the same steps as separate tasks. Steps share files only, so a night that was
interrupted continues where it stopped.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.inputs.check import check_inputs
from pigeon_rec.inputs.prepare import prepare_inputs
from pigeon_rec.nightly.files import shards_to_draw
from pigeon_rec.nightly.generate import generate_shard
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.nightly.plan import plan_night, recommend
from pigeon_rec.nightly.publish import PublishSummary, promote_night, publish_night
from pigeon_rec.nightly.report import ReportSummary, report_night
from pigeon_rec.runtime.airflow_step import check_date
from pigeon_rec.runtime.files import read_parquet, storage_errors, write_json
from pigeon_rec.runtime.leftovers import sweep
from pigeon_rec.runtime.lock import hold
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.runtime.step_times import read_step_times, timed
from pigeon_rec.warehouse.marking import marker_of

__all__ = ["NightSummary", "check_night", "run_night"]


@dataclass(frozen=True)
class NightSummary:
    """Numbers of one run of a night.

    Attributes:
        drawn: Pictures that the plan had to draw; 0 if all could be reused.
        published: Numbers of the published night.
        reported: Users with pictures of their own, and the files of the report.
        snapshot: The file that readers get.
        seconds: Wall-clock time of every step.
    """

    drawn: int
    published: PublishSummary
    reported: ReportSummary
    snapshot: Path
    seconds: Mapping[str, float]

    def flat(self) -> dict[str, Any]:
        """Returns the numbers on one level, as `pigeon-rec nightly run --json` prints them."""
        numbers = dataclasses.asdict(self.published)
        del numbers["content_sha256"]
        return {
            **numbers,
            "drawn": self.drawn,
            "users": self.reported.users,
            "snapshot": self.snapshot,
            "report": self.reported.report,
            "gallery": self.reported.gallery,
            "warnings": self.reported.warnings,
            "seconds": self.seconds,
        }


def run_night(
    config: NightlyConfig, date: dt.date, *, progress: Progress = silent, future: bool = False
) -> NightSummary:
    """Checks, recommends, plans, draws, publishes, promotes and reports one night.

    Raises:
        ConfigError: The date is after tomorrow (UTC) without `future`, or nothing can be signed.
        WorkDirBusyError: Another run works in the same folder.
        PigeonError: A step failed. Earlier publications are unchanged, unless the night itself
            was published.
    """
    if not future:
        check_date(date)
    marker_of(config.warehouse)  # a night that cannot be signed is not drawn
    paths = NightPaths.of(config, date)
    results: dict[str, Any] = {}
    with storage_errors(paths.work_dir), hold(paths, "run"):
        sweep(paths.work_dir)
        with timed(paths.seconds, "check"):
            results["check"] = check_night(config, date, progress)
        prepared = prepare_inputs(config, refresh=False).config
        for name, step in _steps(prepared, date, progress).items():
            with timed(paths.seconds, name):
                results[name] = step()
        seconds = read_step_times(paths.seconds)
        plan = read_parquet(paths.plan).filter(pl.col("status") == "generate")
    return NightSummary(
        drawn=plan["asset_key"].n_unique(),
        published=results["publish"],
        reported=results["report"],
        snapshot=results["promote"],
        seconds={name: seconds[name] for name in results},
    )


def check_night(config: NightlyConfig, date: dt.date, progress: Progress) -> dict[str, Any]:
    """Checks the inputs of a night and writes the result as its `check.json`.

    Raises:
        PlanError: The night would have nothing to draw.
        PigeonError: A table is unusable as a whole.
    """
    check = check_inputs(config, end_of_day(date), progress=progress)
    write_json(check.as_json(), NightPaths.of(config, date).check)
    check.raise_errors()
    return check.as_json()


def _steps(
    config: NightlyConfig, date: dt.date, progress: Progress
) -> Mapping[str, Callable[[], Any]]:
    return {
        "recommend": lambda: recommend(config, date, progress=progress),
        "plan": lambda: plan_night(config, date, progress=progress),
        "generate": lambda: _draw(config, date, progress),
        "publish": lambda: publish_night(config, date),
        "promote": lambda: promote_night(config),
        "report": lambda: report_night(config, date),
    }


def _draw(config: NightlyConfig, date: dt.date, progress: Progress) -> None:
    for shard in shards_to_draw(config, date):
        generate_shard(config, date, shard, progress=progress)
