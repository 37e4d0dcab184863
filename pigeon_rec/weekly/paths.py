"""Paths of the files of one alignment; the only place that knows folder and file names."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from pigeon_rec.weekly.config import WeeklyConfig

__all__ = ["AlignmentPaths"]


@dataclass(frozen=True)
class AlignmentPaths:
    """All files of one alignment below a work directory.

    Attributes:
        work_dir: Folder of runs, alignments, caches and the warehouse.
        date: Logical date of the alignment.
    """

    work_dir: Path
    date: dt.date

    @classmethod
    def of(cls, config: WeeklyConfig, date: dt.date) -> AlignmentPaths:
        """Returns the paths of `date` in the work directory of `config`."""
        return cls(config.work_dir, date)

    @property
    def run_id(self) -> str:
        """Name of the alignment: its date, as in `2026-06-07`."""
        return self.date.isoformat()

    @property
    def alignments(self) -> Path:
        """Folder of all alignments."""
        return self.work_dir / "alignments"

    @property
    def run(self) -> Path:
        """Folder of this alignment."""
        return self.alignments / self.run_id

    def record(self, step: str) -> Path:
        """Record of the inputs and outputs of one step."""
        return self.run / "steps" / f"{step}.json"

    @property
    def training(self) -> Path:
        """Training folder, in the layout of `pigeon-rec train`: a folder per recipe."""
        return self.run / "training"

    def model(self, name: str) -> Path:
        """Folder of the trained model; its name is part of the model's version."""
        return self.run / "model" / name

    def evaluation(self, version: str, settings: str) -> Path:
        """Measurements of one model with one set of settings, shared by all alignments.

        Args:
            version: Version of the model.
            settings: Hash of the evaluation's settings.
        """
        return self.alignments / "evaluations" / version / settings[:12]

    @property
    def promotion_check(self) -> Path:
        """Verdict of the promotion check, metric by metric."""
        return self.run / "promotion_check.json"

    @property
    def lock(self) -> Path:
        """Lock file of all alignments; see `pigeon_rec.runtime.lock`."""
        return self.alignments / "align.lock"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with the model registry."""
        return self.work_dir / "warehouse" / "pigeon.duckdb"
