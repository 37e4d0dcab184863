"""Paths of the files of one alignment; the only place that knows folder and file names."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pigeon_rec.runtime.work_dir import warehouse_file
from pigeon_rec.weekly.config import WeeklyConfig

__all__ = ["AlignmentPaths"]


class AlignmentPaths:
    """Paths of one alignment below a work directory.

    Args:
        work_dir: Folder of runs, alignments, caches and the warehouse.
        date: Logical date of the alignment.
    """

    def __init__(self, work_dir: Path, date: dt.date) -> None:
        self.work_dir = work_dir
        self.run_id = date.isoformat()
        """Name of the alignment: its date, as in `2026-06-07`."""
        self.alignments = work_dir / "alignments"
        """Folder of all alignments."""
        self.run = self.alignments / self.run_id
        """Folder of this alignment."""
        self.training = self.run / "training"
        """Training folder, in the layout of `pigeon-rec train`: a folder per recipe."""
        self.promotion_check = self.run / "promotion_check.json"
        """Verdict of the promotion check, metric by metric."""
        self.lock = self.alignments / "align.lock"
        """Lock file of all alignments; see `pigeon_rec.runtime.lock`."""
        self.warehouse = warehouse_file(work_dir)
        """The DuckDB file with the model registry."""

    @classmethod
    def of(cls, config: WeeklyConfig, date: dt.date) -> AlignmentPaths:
        """Returns the paths of `date` in the work directory of `config`."""
        return cls(config.work_dir, date)

    def record(self, step: str) -> Path:
        """Record of the inputs and outputs of one step."""
        return self.run / "steps" / f"{step}.json"

    def model(self, name: str) -> Path:
        """Folder of the trained model; its name is part of the model's version."""
        return self.run / "model" / name

    def evaluation(self, version: str, settings_hash: str) -> Path:
        """Measurements of one model with one set of settings, shared by all alignments."""
        return self.alignments / "evaluations" / version / settings_hash[:12]
