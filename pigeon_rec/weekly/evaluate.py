"""Measures the new and the serving model on the same held-out cases, each model once and for all.

Measurements belong to a model's version and the evaluation's settings, not to an alignment: what
was measured of a new model is there already when it serves and the next one is compared with it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pigeon_rec import __version__
from pigeon_rec.drawing.models import SERVING, chosen_model
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.measure import METRICS
from pigeon_rec.evaluation.run import evaluate as run_evaluation
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.weekly.config import PromotionRules, WeeklyConfig
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.records import StepRecord, content_hash, finished, once, recorded

__all__ = ["METHOD", "check_rules", "evaluate"]

METHOD: Final = "full"
"""The one method of the evaluation that a comparison of models needs."""


def evaluate(config: WeeklyConfig, date: dt.date, *, progress: Progress = silent) -> StepRecord:
    """Measures whichever of the two models has not been measured under these settings.

    The serving model is the one that serves now. Once the new model serves itself, what it was
    compared with stays.

    Raises:
        TrainingError: `bundle` has not been done.
        ConfigError: The evaluation asks for more cases than there are.
        ModelError: A model cannot be loaded, or the serving one's weights were changed.
    """
    paths = AlignmentPaths.of(config, date)
    bundled = finished(paths, "bundle").facts
    serving = chosen_model(SERVING, config.work_dir)
    if serving.version == bundled["version"] and recorded(paths, "evaluate") is not None:
        return finished(paths, "evaluate").model_copy(update={"kept": True})
    sources = {
        "candidate": (bundled["version"], str(config.work_dir / bundled["weights_path"])),
        "serving": (serving.version, serving.source),
    }
    settings = _settings(config)
    tables = {
        name: paths.evaluation(version, content_hash(_deciding(settings))) / "per_case.parquet"
        for name, (version, _) in sources.items()
    }

    def work() -> Mapping[str, Any]:
        for name, (_, source) in sources.items():
            _measure(settings.model_copy(update={"model": source}), tables[name].parent, progress)
        return {
            **{name: path.relative_to(paths.work_dir).as_posix() for name, path in tables.items()},
            "candidate_version": bundled["version"],
            "serving_version": serving.version,
        }

    inputs = {
        **{name: version for name, (version, _) in sources.items()},
        "settings": _deciding(settings),
    }
    return once(paths, "evaluate", inputs, work, outputs=list(tables.values()))


def check_rules(rules: PromotionRules) -> None:
    """Refuses rules on metrics that no evaluation knows, before any work.

    Raises:
        ConfigError: There is such a rule.
    """
    unknown = sorted((rules.improve.keys() | rules.keep.keys()) - METRICS.keys())
    if unknown:
        raise ConfigError(
            f"the gate has rules for {', '.join(unknown)}, which no evaluation measures",
            location="gate",
            remedy=f"Metrics are: {', '.join(METRICS)}",
        )


def _settings(config: WeeklyConfig) -> EvaluationSettings:
    asked = config.evaluation
    return EvaluationSettings(
        methods=(METHOD,),
        cases=asked.cases,
        seed=asked.seed,
        scorer=asked.scorer,
        generation=asked.generation,
        threads=asked.threads,
    )


def _deciding(settings: EvaluationSettings) -> dict[str, Any]:
    """All that decides a measurement besides the model; judges ship with the product."""
    decisive = settings.model_dump(mode="json", exclude={"model", "threads"})
    return {**decisive, "product_version": __version__}


def _measure(settings: EvaluationSettings, folder: Path, progress: Progress) -> None:
    # The summary is written last: where it lies, the table is whole.
    if not _is_whole(folder):
        run_evaluation(settings, folder, progress=progress)


def _is_whole(folder: Path) -> bool:
    try:
        json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (folder / "per_case.parquet").is_file()
