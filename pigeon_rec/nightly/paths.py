"""Where the files of one night lie; the only place that knows folder and file names."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from pigeon_rec.config import NightlyConfig

__all__ = ["NightPaths", "end_of_day"]


@dataclass(frozen=True)
class NightPaths:
    """All files of one logical date below a work directory.

    Attributes:
        work_dir: Folder of runs, caches and the warehouse.
        date: Logical date of the night.
    """

    work_dir: Path
    date: datetime.date

    @classmethod
    def of(cls, config: NightlyConfig, date: datetime.date) -> NightPaths:
        """The paths of `date` in the work directory of `config`."""
        return cls(config.work_dir, date)

    @property
    def run_id(self) -> str:
        """Name of the night in the warehouse: its date, as in `2026-08-01`."""
        return self.date.isoformat()

    @property
    def night(self) -> Path:
        """Folder of everything that this night alone owns."""
        return self.work_dir / "runs" / self.run_id

    @property
    def recommendations(self) -> Path:
        """Pairs the recommender proposes: `user_id, item_id, score, rank`."""
        return self.night / "recommendations.parquet"

    @property
    def recommendation_problems(self) -> Path:
        """Recommendations that were left out, as rows of `problems`."""
        return self.night / "recommendation_problems.parquet"

    @property
    def recommendations_info(self) -> Path:
        """What the recommendations were made from; spares training again for the same inputs."""
        return self.night / "recommendations.json"

    @property
    def plan(self) -> Path:
        """Pairs to be served tonight, each to be generated or reused."""
        return self.night / "plan.parquet"

    @property
    def skipped(self) -> Path:
        """Recommendations that cannot be personalised, with the reason."""
        return self.night / "skipped.parquet"

    @property
    def explained(self) -> Path:
        """What the plan made of every recommendation, one row each."""
        return self.night / "explained.parquet"

    @property
    def cohorts(self) -> Path:
        """Which cohort each user belongs to: `user_id, cohort`."""
        return self.night / "cohorts.parquet"

    @property
    def problems(self) -> Path:
        """Bad items, images and rows met while planning."""
        return self.night / "problems.parquet"

    @property
    def plan_info(self) -> Path:
        """Counts, reasons and hashes of the plan."""
        return self.night / "plan.json"

    @property
    def shards(self) -> Path:
        """Folder of the generated shards."""
        return self.night / "shards"

    def shard(self, number: int) -> Path:
        """File of one generated shard."""
        return self.shards / f"shard-{number:04d}.parquet"

    def drawing_time(self, number: int) -> Path:
        """How long one shard took when it was drawn."""
        return self.shards / f"shard-{number:04d}.json"

    @property
    def staged(self) -> Path:
        """Folder of the checked night as publishing reads it."""
        return self.night / "staged"

    @property
    def report(self) -> Path:
        """Numbers of the finished night."""
        return self.night / "report.json"

    @property
    def gallery(self) -> Path:
        """The night as one self-contained page."""
        return self.night / "gallery.html"

    @property
    def lock(self) -> Path:
        """Held by whoever works in this folder; the file stays, the lock dies with its process."""
        return self.work_dir / "night.lock"

    @property
    def embeddings(self) -> Path:
        """Cache of item image embeddings, shared by all nights."""
        return self.work_dir / "cache" / "embeddings.parquet"

    @property
    def recbole(self) -> Path:
        """Scratch folder of RecBole runs, shared by all nights."""
        return self.work_dir / "recbole"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that only the publisher writes."""
        return self.work_dir / "warehouse" / "pigeon.duckdb"

    @property
    def snapshots(self) -> Path:
        """Folder of read-only copies of the warehouse."""
        return self.work_dir / "warehouse" / "snapshots"

    @property
    def serving(self) -> Path:
        """Link to the snapshot that readers use."""
        return self.work_dir / "warehouse" / "serving.duckdb"


def end_of_day(date: datetime.date) -> datetime.datetime:
    """First instant after `date` in UTC: what a night of that date may know ends here."""
    start = datetime.datetime.combine(date, datetime.time(), tzinfo=datetime.UTC)
    return start + datetime.timedelta(days=1)
