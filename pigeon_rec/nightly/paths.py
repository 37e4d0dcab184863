"""Paths of the files of one night; the only place that knows their folder and file names."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pigeon_rec.config import NightlyConfig
from pigeon_rec.runtime.work_dir import serving_file, warehouse_file

__all__ = ["NightPaths", "end_of_day"]


class SplitPaths:
    """Paths of what all parts of a plan share."""

    def __init__(self, folder: Path) -> None:
        self.info = folder / "split.json"
        """Versions, settings and number of the parts; written last."""
        self.items = folder / "items.parquet"
        """The items that the users of all parts have: `item_id, broken`."""
        self.vectors = folder / "items.npy"
        """Their vectors, in the same order."""
        self.centroids = folder / "cohorts.npy"
        """The taste cohorts."""
        self.problems = folder / "problems.parquet"
        """Problems of catalogue, pictures and tables."""


class PartPaths:
    """Paths of one part of a plan."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.interactions = folder / "interactions.parquet"
        """Interactions of its users; a single part reads them from their source."""
        self.pairs = folder / "pairs.parquet"
        """The pairs that can be drawn, with history, priority and place, by user and rank."""
        self.explained = folder / "explained.parquet"
        """All recommendations, and which of them cannot be drawn."""
        self.skipped = folder / "skipped.parquet"
        """The recommendations that cannot be drawn."""
        self.problems = folder / "problems.parquet"
        """Users and items that these are due to."""
        self.members = folder / "cohorts.parquet"
        """The cohort of each user."""
        self.item_users = folder / "item_users.parquet"
        """How many users of each cohort have each item."""
        self.views = folder / "views.parquet"
        """How often each cohort is expected to view each reference."""
        self.priorities = folder / "priorities.parquet"
        """How many pairs within the limit per user have each priority."""
        self.info = folder / "part.json"
        """Its numbers; written last."""


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
        self.recommendation_parts = night / "recommendations"
        """Folder of the same, one file per part, if there are too many users for one part."""
        self.recommendation_problems = night / "recommendation_problems.parquet"
        """Recommendations that were left out, as rows of `problems`."""
        self.recommendations_info = night / "recommendations.json"
        """How the users are divided into parts, and hashes of the recommender's inputs: unchanged
        inputs need no new training."""
        self.parts = night / "parts"
        """Folder of what the parts share, and of what was found for each; kept until the plan is
        written."""
        self.split = SplitPaths(self.parts)
        """What all parts share."""
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

    def recommendations_of(self, part: int, parts: int) -> Path:
        """Recommendations of one part."""
        if parts == 1:
            return self.recommendations
        return self.recommendation_parts / f"part-{part:04d}.parquet"

    def part(self, number: int) -> PartPaths:
        """Files of one part."""
        return PartPaths(self.parts / f"part-{number:04d}")

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
