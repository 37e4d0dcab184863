"""The training steps of an alignment: stage 1, preference pairs, stage 2, and the model folder."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.digests import weights_sha256
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.training.bundle import bundle as assemble
from pigeon_rec.training.pairs import make_pairs
from pigeon_rec.training.recipes import TrainingConfig, run_recipe
from pigeon_rec.weekly.config import WeeklyConfig
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.prepare import begun
from pigeon_rec.weekly.records import StepRecord, finished, once

__all__ = ["bundle", "pairs", "prefer", "reconstruct"]


def reconstruct(config: WeeklyConfig, date: dt.date) -> StepRecord:
    """Runs stage 1, masked preference reconstruction; a killed run resumes from its checkpoint.

    Raises:
        TrainingError: `prepare` has not been done, or training cannot resume.
    """
    before, training = begun(config, date)
    return _recipe(AlignmentPaths.of(config, date), "reconstruct", "reconstruct", training, before)


def pairs(config: WeeklyConfig, date: dt.date, *, progress: Progress = silent) -> StepRecord:
    """Makes preference pairs: the best and the worst candidate of the stage-1 model per window.

    Raises:
        TrainingError: `reconstruct` has not been done.
    """
    _, training = begun(config, date)
    paths = AlignmentPaths.of(config, date)
    before = finished(paths, "reconstruct")

    def work() -> Mapping[str, Any]:
        made = make_pairs(training, paths.training, progress=progress)
        return {"pairs": int(pl.scan_parquet(made).select(pl.len()).collect().item())}

    table = paths.training / "pairs.parquet"
    return once(paths, "pairs", _after(before), work, outputs=[table])


def prefer(config: WeeklyConfig, date: dt.date) -> StepRecord:
    """Runs stage 2, pairwise preference alignment (DPO) on those pairs.

    Raises:
        TrainingError: `pairs` has not been done, or training cannot resume.
    """
    _, training = begun(config, date)
    paths = AlignmentPaths.of(config, date)
    return _recipe(paths, "prefer", "align", training, finished(paths, "pairs"))


def bundle(config: WeeklyConfig, date: dt.date) -> StepRecord:
    """Assembles the backbone and the merged adapters as a model folder.

    Raises:
        TrainingError: `prefer` has not been done.
    """
    _, training = begun(config, date)
    paths = AlignmentPaths.of(config, date)
    folder = paths.model(training.model.name)

    def work() -> Mapping[str, Any]:
        # The version covers all files of the folder, so none of an earlier run may be left.
        shutil.rmtree(folder, ignore_errors=True)
        assemble(training, paths.training, folder)
        return {
            "version": model_version(folder),
            "sha256": weights_sha256(folder),
            "weights_path": folder.relative_to(paths.work_dir).as_posix(),
        }

    return once(paths, "bundle", _after(finished(paths, "prefer")), work, outputs=[folder])


def _recipe(
    paths: AlignmentPaths, step: str, recipe: str, training: TrainingConfig, before: StepRecord
) -> StepRecord:
    folder = paths.training / recipe
    return once(
        paths,
        step,
        _after(before),
        lambda: _train(recipe, training, paths.training),
        outputs=[folder / "model.safetensors"],
        scratch=[folder],
    )


def _train(recipe: str, training: TrainingConfig, folder: Path) -> Mapping[str, Any]:
    """Runs a recipe; returns step and losses at its end, without its speed."""
    run_recipe(recipe, training, folder, show_progress=sys.stderr.isatty())
    metrics = folder / recipe / "metrics.jsonl"
    last = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])
    return {name: value for name, value in last.items() if name != "samples_per_second"}


def _after(before: StepRecord) -> dict[str, Any]:
    """Returns the inputs of a step that only reads the files of the step before it."""
    return {"after": before.step, "made_from": before.made_from, "outputs": dict(before.outputs)}
