"""Paths of the files of one night; the only place that knows their folder and file names."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pigeon_rec.config import NightlyConfig
from pigeon_rec.runtime.work_dir import serving_file, warehouse_file

__all__ = ["NightPaths", "end_of_day"]


class NightPaths:
    """Paths of one logical date below a work directory.

    Args:
        work_dir: Folder of runs, caches and the warehouse.
        date: Logical date of the night.
    """

    def __init__(self, work_dir: Path, date: dt.date) -> None:
        self.work_dir = work_dir = work_dir.absolute()  # errors show whole paths
        self.date = date
        self.run_id = date.isoformat()
        """Name of the night in the warehouse: its date, as in `2026-08-01`."""
        self.night = night = work_dir / "runs" / self.run_id
        """Folder of the files that belong to this night only."""
        self.check = night / "check.json"
        """What was found in the inputs."""
        self.recommendations = night / "recommendations.parquet"
        """The recommender's top-K: `user_id, item_id, score, rank`."""
        self.recommendation_problems = night / "recommendation_problems.parquet"
        """Recommendations that were left out, as rows of `problems`."""
        self.recommendations_info = night / "recommendations.json"
        """Hashes of the recommender's inputs: unchanged inputs need no new training."""
        self.plan = night / "plan.parquet"
        """The requests of the night, each to be generated or reused."""
        self.skipped = night / "skipped.parquet"
        """Recommendations that cannot be personalised, with the reason."""
        self.explained = night / "explained.parquet"
        """The plan's decision on every recommendation."""
        self.cohorts = night / "cohorts.parquet"
        """The cohort of each user: `user_id, cohort`."""
        self.problems = night / "problems.parquet"
        """Bad items, images and rows found while planning."""
        self.gate = night / "gate.json"
        """Limits of the night's quality gate, and the calibration that they are from."""
        self.plan_info = night / "plan.json"
        """Counts, reasons and hashes of the plan."""
        self.shards = night / "shards"
        """Folder of the generated shards."""
        self.staged = night / "staged"
        """Folder of the checked tables that publishing reads."""
        self.report = night / "report.json"
        """Numbers of the finished night."""
        self.metrics = night / "metrics.prom"
        """The same numbers for monitoring, as OpenMetrics text."""
        self.seconds = night / "seconds"
        """Folder of the time that each step took."""
        self.gallery = night / "gallery.html"
        """The night as one self-contained page."""
        self.lock = work_dir / "night.lock"
        """Lock of the work directory; the file stays, the lock ends with its process."""
        self.embeddings = work_dir / "cache" / "embeddings.parquet"
        """Cache of item image embeddings, shared by all nights."""
        self.recbole = work_dir / "recbole"
        """Scratch folder of RecBole runs, shared by all nights."""
        self.warehouse = warehouse_file(work_dir)
        """The DuckDB file that only the publisher writes."""
        self.serving = serving_file(work_dir)
        """Link to the snapshot that readers use."""

    @classmethod
    def of(cls, config: NightlyConfig, date: dt.date) -> NightPaths:
        """Returns the paths of `date` in the work directory of `config`."""
        return cls(config.work_dir, date)

    def shard(self, number: int) -> Path:
        """File of one generated shard."""
        return self.shards / f"shard-{number:04d}.parquet"

    def drawing_time(self, number: int) -> Path:
        """Time that drawing one shard took."""
        return self.shards / f"shard-{number:04d}.json"

    def shard_files(self, number: int) -> list[Path]:
        """Files to exchange; the shard last, so that it is complete once it is there."""
        return [self.drawing_time(number), self.shard(number)]


def end_of_day(date: dt.date) -> dt.datetime:
    """Returns the first instant after `date` in UTC: a night reads nothing from then on.

    The last date that there is ends with the last instant.
    """
    if date == dt.date.max:
        return dt.datetime.max.replace(tzinfo=dt.UTC)
    return dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), tzinfo=dt.UTC)
