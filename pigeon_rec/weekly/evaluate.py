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
from pigeon_rec.drawing.models import SERVING, chosen_model
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.measure import METRICS
from pigeon_rec.evaluation.run import evaluate as run_evaluation
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.weekly.config import PromotionRules, WeeklyConfig
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
    settings = EvaluationSettings(methods=(METHOD,), **dict(config.evaluation))
    tables = {
        name: paths.evaluation(version, digest(_deciding(settings))) / "per_case.parquet"
        for name, (version, _) in sources.items()
    }

    def work() -> Mapping[str, Any]:
        for name, (_, source) in sources.items():
            # The summary is written last, so it marks a complete measurement.
            if not _is_complete(tables[name].parent):
                of_model = settings.model_copy(update={"model": source})
                run_evaluation(of_model, tables[name].parent, progress=progress)
        return {
            **{name: path.relative_to(paths.work_dir).as_posix() for name, path in tables.items()},
            "new_version": bundled["version"],
            "serving_version": serving.version,
        }

    inputs = {
        **{name: version for name, (version, _) in sources.items()},
        "settings": _deciding(settings),
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


def _deciding(settings: EvaluationSettings) -> dict[str, Any]:
    """Everything that decides a measurement besides the model; the judges ship with the product."""
    decisive = settings.model_dump(mode="json", exclude={"model", "threads"})
    return {**decisive, "product_version": __version__}


def _is_complete(folder: Path) -> bool:
    try:
        json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (folder / "per_case.parquet").is_file()
