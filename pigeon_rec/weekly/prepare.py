"""The first step of an alignment: fills the training folder that both stages start from.

Training reads the parts of a model from one folder per recipe. They are split from a finished
model, copied from a folder of `pigeon-rec train`, or trained here.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pigeon_rec.data.settings import BUNDLED
from pigeon_rec.drawing.models import chosen_model
from pigeon_rec.errors import ConfigError, TrainingError
from pigeon_rec.model.paths import model_folder
from pigeon_rec.runtime.digests import digest, file_sha256
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.training.adopt import adopt
from pigeon_rec.training.data import folder_data
from pigeon_rec.training.recipes import (
    TrainingConfig,
    load_training_config,
    run_recipe,
    training_artwork,
)
from pigeon_rec.training.tracking import check_trackers
from pigeon_rec.weekly.config import WeeklyConfig
from pigeon_rec.weekly.data import data_inputs, end_of, prepared
from pigeon_rec.weekly.evaluate import check_rules
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.records import StepRecord, finished, once, recorded

__all__ = ["BACKBONE", "SCRATCH", "begun", "prepare"]

SCRATCH: Final = "scratch"
"""Value of `start` that trains the backbone first."""
BACKBONE: Final = ("tokenizer", "autoencoder", "scorer", "renderer", "language-model")
"""Recipes of the parts that stage 1 needs, in their order."""
_WEIGHTS: Final = "model.safetensors"
_STAGES: Final = ("reconstruct", "align")


@dataclass(frozen=True)
class _Start:
    """Source of the first weights.

    Attributes:
        kind: A finished model, a training folder, or none (`scratch`).
        source: Name or folder of the model, or the training folder.
        weights: Version of the model, or digest of the weights in the training folder.
    """

    kind: Literal["model", "folder", "scratch"]
    source: str
    weights: str | None


def prepare(config: WeeklyConfig, date: dt.date, *, progress: Progress = silent) -> StepRecord:
    """Fills the alignment's training folder, and records which model it starts from.

    `serving` is resolved once, when the alignment begins; later calls keep that model.

    Raises:
        ConfigError: The training configuration is unusable or lacks a stage, or a rule of the
            promotion check names an unknown metric.
        ModelError: There is no such model, or its weights have changed.
        TrainingError: The alignment of this date was begun with other settings, or the sizes of
            the training configuration are not those of the model to start from.
    """
    paths = AlignmentPaths.of(config, date)
    check_rules(config.promotion_check)
    training = _training(config)
    known = recorded(paths, "prepare")
    settled = known.inputs["weights"] if known and known.inputs["start"] == config.start else None
    start = _start(config, settled)
    inputs = _inputs(config, training, start.weights)
    _check_same(paths, known, inputs)
    return once(
        paths,
        "prepare",
        inputs,
        lambda: _fill(config, date, training, start, progress),
        outputs=[paths.training / name / _WEIGHTS for name in BACKBONE],
        scratch=[paths.training],
    )


def begun(config: WeeklyConfig, date: dt.date) -> tuple[StepRecord, TrainingConfig]:
    """Returns the record of `prepare` and the training configuration it was begun with.

    Raises:
        ConfigError: The training configuration is unusable.
        TrainingError: `prepare` has not been done, or was done with other settings.
    """
    paths = AlignmentPaths.of(config, date)
    training = _training(config)
    known = finished(paths, "prepare")
    _check_same(paths, known, _inputs(config, training, known.inputs["weights"]))
    return known, training


def _training(config: WeeklyConfig) -> TrainingConfig:
    training = load_training_config(config.training)
    missing = [stage for stage in _STAGES if stage not in training.loops]
    if missing:
        raise ConfigError(
            f"the training configuration has no loop for {' and '.join(missing)}",
            location=config.training,
            remedy="An alignment needs both stages",
        )
    check_trackers(training.trackers)  # not only when the training begins
    return training


def _start(config: WeeklyConfig, settled: str | None) -> _Start:
    if config.start == SCRATCH:
        return _Start("scratch", "", None)
    folder = Path(config.start)
    # A finished model also has recipe folders (its scorer), but only a model has `config.json`.
    if _trained_recipes(folder) and not (folder / "config.json").is_file():
        files = {name: file_sha256(folder / name / _WEIGHTS) for name in _trained_recipes(folder)}
        return _Start("folder", config.start, digest(files))
    model = chosen_model(config.start, config.work_dir, settled)
    return _Start("model", model.source, model.version)


def _trained_recipes(folder: Path) -> list[str]:
    """Returns the backbone recipes with weights in a training folder."""
    return [name for name in BACKBONE if (folder / name / _WEIGHTS).is_file()]


def _inputs(config: WeeklyConfig, training: TrainingConfig, weights: str | None) -> dict[str, Any]:
    return {
        # Whom a training tells of its metrics changes nothing of it.
        "training": training.model_dump(mode="json", exclude={"trackers"}),
        "start": config.start,
        "weights": weights,
        **data_inputs(config),
    }


def _fill(
    config: WeeklyConfig,
    date: dt.date,
    training: TrainingConfig,
    start: _Start,
    progress: Progress,
) -> dict[str, Any]:
    paths = AlignmentPaths.of(config, date)
    folder = paths.training
    folder.mkdir(parents=True, exist_ok=True)
    # What that training has held out stays held out.
    folders: Mapping[str, Callable[[str], Path]] = {"model": model_folder, "folder": Path}
    before = folders.get(start.kind)
    data = folder_data(
        folder,
        prepared(config, paths, progress),
        started_from=None if before is None else before(start.source),
        until=None if config.catalogue == BUNDLED else end_of(date),
    )
    if start.kind == "scratch":
        artwork = training_artwork(training, data)
        for done, name in enumerate(BACKBONE, start=1):
            run_recipe(name, training, folder, artwork=artwork)
            progress("backbone recipes", done, len(BACKBONE))
    elif start.kind == "folder":
        _copy(Path(start.source), folder)
    else:
        adopt(start.source, training, folder)
    return {
        "parent_version": start.weights if start.kind == "model" else None,
        **({} if data.world else {"items": len(data.catalogue),
                                  "held_out": data.held_out_items().height}),
    }  # fmt: skip


def _copy(source: Path, folder: Path) -> None:
    for name in _trained_recipes(source):
        (folder / name).mkdir(exist_ok=True)
        shutil.copyfile(source / name / _WEIGHTS, folder / name / _WEIGHTS)
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")


def _check_same(paths: AlignmentPaths, known: StepRecord | None, inputs: Mapping[str, Any]) -> None:
    """Refuses to continue an alignment from checkpoints of other settings."""
    if known is None or known.made_from == digest(inputs):
        return
    changed = [name for name, value in inputs.items() if known.inputs.get(name) != value]
    raise TrainingError(
        f"the alignment of {paths.run_id} was begun with other values of {', '.join(changed)}",
        location=str(paths.run),
        remedy="Use the settings it was begun with or another date, or remove the folder",
    )
