"""Measures the new and the serving model on the same held-out cases, each model only once.

Measurements belong to a model's version and the evaluation's settings, not to an alignment: those
of a promoted model are used again when the next model is compared with it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pigeon_rec._version import __version__
from pigeon_rec.config import NightlyGateConfig, gate_limits
from pigeon_rec.data.dataset import Dataset
from pigeon_rec.data.settings import BUNDLED
from pigeon_rec.drawing.gate import NightGate
from pigeon_rec.drawing.models import SERVING, chosen_model
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.data import evaluation_data, identity
from pigeon_rec.evaluation.gate import GivenGate, evaluation_gate
from pigeon_rec.evaluation.measure import METRICS
from pigeon_rec.evaluation.run import evaluate as run_evaluation
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring.scorer import load_scorer
from pigeon_rec.training.data import HELD_OUT, folder_data
from pigeon_rec.weekly.config import PromotionRules, WeeklyConfig
from pigeon_rec.weekly.data import end_of
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.records import StepRecord, finished, once, recorded

__all__ = ["METHOD", "check_rules", "evaluate"]

METHOD: Final = "full"
"""The only evaluation method that the comparison needs."""


def evaluate(config: WeeklyConfig, date: dt.date, *, progress: Progress = silent) -> StepRecord:
    """Measures both models, each unless it has been measured with these settings before.

    The new model is compared with the model that serves now. Once the new model serves itself,
    the recorded comparison is kept.

    Raises:
        TrainingError: `bundle` has not been done.
        ConfigError: The settings want more cases than there are.
        ModelError: A model cannot be loaded, or the weights of the serving one have changed.
    """
    paths = AlignmentPaths.of(config, date)
    bundled = finished(paths, "bundle").facts
    serving = chosen_model(SERVING, config.work_dir)
    if serving.version == bundled["version"] and recorded(paths, "evaluate") is not None:
        return finished(paths, "evaluate").model_copy(update={"kept": True})
    sources = {
        "new": (bundled["version"], str(config.work_dir / bundled["weights_path"])),
        "serving": (serving.version, serving.source),
    }
    settings = _settings(config, date, sources["new"][1])
    data = None if settings.catalogue == BUNDLED else evaluation_data(settings)
    gate = _gate(settings, data, config, paths, progress)
    limits = NightlyGateConfig.model_validate(gate.limits)
    settings = settings.model_copy(update={"gate": limits})
    deciding = _deciding(settings, data, bundled["version"])
    tables = {
        name: paths.evaluation(version, digest(deciding)) / "per_case.parquet"
        for name, (version, _) in sources.items()
    }

    def work() -> Mapping[str, Any]:
        for name, (_, source) in sources.items():
            # The summary is written last, so it marks a complete measurement.
            if not _is_complete(tables[name].parent):
                of_model = settings.model_copy(update={"model": source})
                run_evaluation(of_model, tables[name].parent, gate=gate, progress=progress)
        return {
            **{name: path.relative_to(paths.work_dir).as_posix() for name, path in tables.items()},
            "new_version": bundled["version"],
            "serving_version": serving.version,
        }

    inputs = {
        **{name: version for name, (version, _) in sources.items()},
        "settings": deciding,
    }
    return once(paths, "evaluate", inputs, work, outputs=list(tables.values()))


def check_rules(rules: PromotionRules) -> None:
    """Checks that every rule is about a metric of the evaluation.

    Raises:
        ConfigError: A rule names an unknown metric.
    """
    unknown = sorted((rules.improve.keys() | rules.keep.keys()) - METRICS.keys())
    if unknown:
        raise ConfigError(
            f"the promotion check has rules for unknown metrics: {', '.join(unknown)}",
            location="promotion_check",
            remedy=f"Metrics are: {', '.join(METRICS)}",
        )


def _settings(config: WeeklyConfig, date: dt.date, new: str) -> EvaluationSettings:
    """How both models are measured: on the data of the alignment, by the same scorer and judges."""
    paths, given = AlignmentPaths.of(config, date), dict(config.evaluation)
    data = folder_data(paths.training)
    if data.name == BUNDLED:
        return EvaluationSettings(methods=(METHOD,), **given)
    own = {
        **dict(data.settings),
        "held_out": paths.training / HELD_OUT,
        "judges": paths.run / "judges",
        "until": end_of(date),
        "scorer": config.evaluation.scorer or new,
    }
    return EvaluationSettings(methods=(METHOD,), **(given | own))


def _gate(
    settings: EvaluationSettings,
    data: Dataset | None,
    config: WeeklyConfig,
    paths: AlignmentPaths,
    progress: Progress,
) -> NightGate:
    """The quality gate for both models: that of the nights, with the scorer of the evaluation."""
    if data is None:
        return NightGate(gate_limits(settings.gate))
    given = GivenGate(settings.gate, settings.scorer_model, config.work_dir, paths.run)
    scorer = load_scorer(settings.scorer_model)
    return evaluation_gate(given, data, scorer, progress=progress)


def _deciding(settings: EvaluationSettings, data: Dataset | None, version: str) -> dict[str, Any]:
    """Everything that decides a measurement besides the model.

    The bundled stickers and their judges ship with the product, and have no `data`. Another
    catalogue is known by what its items and users are, and the scorer of the new model by the
    model's version.
    """
    left_out = {"model", "threads", "work_dir"}
    found: dict[str, Any] = {"product_version": __version__}
    if data is not None:
        left_out |= {"held_out", "judges", "catalogue", "interactions", "scorer"}
        found["data"] = digest([identity(data), data.interactions.hash_rows().to_list()])
        found["scorer"] = settings.scorer if settings.scorer is None else version
    return {**settings.model_dump(mode="json", exclude=left_out), **found}


def _is_complete(folder: Path) -> bool:
    try:
        json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (folder / "per_case.parquet").is_file()
