"""The first step of an alignment: the training folder that both stages go on from.

Training reads the parts of a model from a folder per recipe. They come from a finished model (its
files taken apart again), from a folder that `pigeon-rec train` has filled, or are trained here.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pigeon_rec.drawing.models import chosen_model
from pigeon_rec.errors import ConfigError, TrainingError
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.training.adopt import adopt
from pigeon_rec.training.recipes import TrainingConfig, load_training_config, run_recipe
from pigeon_rec.weekly.config import WeeklyConfig
from pigeon_rec.weekly.evaluate import check_rules
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.records import (
    StepRecord,
    content_hash,
    finished,
    once,
    recorded,
)

__all__ = ["BACKBONE", "SCRATCH", "begun", "prepare"]

SCRATCH: Final = "scratch"
"""Value of `start` that means: train the plan's backbone first."""
BACKBONE: Final = ("tokenizer", "autoencoder", "scorer", "renderer", "language-model")
"""Recipes that have to be done before stage 1, in their order."""
_WEIGHTS: Final = "model.safetensors"
_STAGES: Final = ("reconstruct", "align")


@dataclass(frozen=True)
class _Start:
    """Where the first weights come from.

    Attributes:
        kind: A finished model, a training folder, or nothing.
        source: The model's name or folder, or the training folder.
        weights: What tells these weights from others; the version of a model.
    """

    kind: Literal["model", "folder", "scratch"]
    source: str
    weights: str | None


def prepare(config: WeeklyConfig, date: dt.date, *, progress: Progress = silent) -> StepRecord:
    """Fills the alignment's training folder, and settles which model it starts from.

    `serving` means the model that serves when the alignment begins, also where it is begun again.

    Raises:
        ConfigError: The training plan is unusable or lacks a stage, or the gate has a rule on what
            is not measured.
        ModelError: There is no such model, or its weights were changed.
        TrainingError: The alignment of this date was begun with another plan or start, or the
            plan's sizes are not those of the model to start from.
    """
    paths = AlignmentPaths.of(config, date)
    check_rules(config.gate)
    plan = _plan(config)
    known = recorded(paths, "prepare")
    settled = known.inputs["weights"] if known and known.inputs["start"] == config.start else None
    start = _start(config, settled)
    inputs = _inputs(config, plan, start.weights)
    _check_same(paths, known, inputs)
    return once(
        paths,
        "prepare",
        inputs,
        lambda: _fill(paths.training, plan, start, progress),
        outputs=[paths.training / name / _WEIGHTS for name in BACKBONE],
        scratch=[paths.training],
    )


def begun(config: WeeklyConfig, date: dt.date) -> tuple[StepRecord, TrainingConfig]:
    """What an alignment was begun with, for the steps after `prepare`.

    Raises:
        ConfigError: The training plan is unusable.
        TrainingError: `prepare` has not been done, or was done with other settings.
    """
    paths = AlignmentPaths.of(config, date)
    plan = _plan(config)
    known = finished(paths, "prepare")
    _check_same(paths, known, _inputs(config, plan, known.inputs["weights"]))
    return known, plan


def _plan(config: WeeklyConfig) -> TrainingConfig:
    plan = load_training_config(config.plan)
    missing = [stage for stage in _STAGES if stage not in plan.loops]
    if missing:
        raise ConfigError(
            f"the training plan has no loop for {' and '.join(missing)}",
            location=config.plan,
            remedy="An alignment needs both stages",
        )
    return plan


def _start(config: WeeklyConfig, settled: str | None) -> _Start:
    if config.start == SCRATCH:
        return _Start("scratch", "", None)
    folder = Path(config.start)
    # A finished model has a scorer of its own, and a configuration that no training folder has.
    if _given(folder) and not (folder / "config.json").is_file():
        files = {name: file_sha256(folder / name / _WEIGHTS) for name in _given(folder)}
        return _Start("folder", config.start, content_hash(files))
    model = chosen_model(config.start, config.work_dir, settled)
    return _Start("model", model.source, model.version)


def _given(folder: Path) -> list[str]:
    """The backbone recipes that are done in a training folder."""
    return [name for name in BACKBONE if (folder / name / _WEIGHTS).is_file()]


def _inputs(config: WeeklyConfig, plan: TrainingConfig, weights: str | None) -> dict[str, Any]:
    return {"plan": plan.model_dump(mode="json"), "start": config.start, "weights": weights}


def _fill(folder: Path, plan: TrainingConfig, start: _Start, progress: Progress) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    if start.kind == "scratch":
        for done, name in enumerate(BACKBONE, start=1):
            run_recipe(name, plan, folder)
            progress("backbone recipes", done, len(BACKBONE))
    elif start.kind == "folder":
        _copy(Path(start.source), folder)
    else:
        adopt(start.source, plan, folder)
    return {"parent_version": start.weights if start.kind == "model" else None}


def _copy(source: Path, folder: Path) -> None:
    for name in _given(source):
        (folder / name).mkdir(exist_ok=True)
        shutil.copyfile(source / name / _WEIGHTS, folder / name / _WEIGHTS)
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")


def _check_same(paths: AlignmentPaths, known: StepRecord | None, inputs: Mapping[str, Any]) -> None:
    """Checkpoints of other settings are no place to go on from."""
    if known is None or known.made_from == content_hash(inputs):
        return
    changed = [name for name, value in inputs.items() if known.inputs.get(name) != value]
    raise TrainingError(
        f"the alignment of {paths.run_id} was begun with another {' and '.join(changed)}",
        location=str(paths.run),
        remedy="Take the settings it was begun with, or another date, or remove the folder",
    )
