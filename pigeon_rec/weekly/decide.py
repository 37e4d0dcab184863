"""The last steps: judge the new model, enter it into the registry, and let it serve if it may."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

import polars as pl

from pigeon_rec.drawing.models import SERVING, chosen_model
from pigeon_rec.errors import TrainingError
from pigeon_rec.evaluation.measure import LOWER_IS_BETTER
from pigeon_rec.runtime.files import write_json
from pigeon_rec.warehouse import open_warehouse
from pigeon_rec.warehouse.models import TrainedModel, promote_model, register_model
from pigeon_rec.weekly.config import WeeklyConfig
from pigeon_rec.weekly.evaluate import METHOD
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.promotion_check import Verdict, compare
from pigeon_rec.weekly.records import StepRecord, content_hash, finished

__all__ = ["decide", "promote"]


def decide(config: WeeklyConfig, date: dt.date) -> dict[str, Any]:
    """Compares the two models, writes `gate.json`, and registers the new one with the verdict.

    The same measurements and rules give the same verdict, so running it again changes nothing.

    Returns:
        `accepted`, `reason`, `version`, `serving_version` and the verdict on every metric.

    Raises:
        TrainingError: `evaluate` has not been done, or was done of another model.
        ConfigError: A rule names a metric that was not measured.
        WarehouseBusyError: Another run is writing to the warehouse.
    """
    paths = AlignmentPaths.of(config, date)
    bundled, evaluated = _measured(paths)
    candidate, serving = (
        pl.read_parquet(paths.work_dir / evaluated.facts[name]).filter(method=METHOD)
        for name in ("candidate", "serving")
    )
    verdict = compare(candidate, serving, config.gate, LOWER_IS_BETTER)
    decision = {
        "version": bundled.facts["version"],
        "serving_version": evaluated.facts["serving_version"],
        **dataclasses.asdict(verdict),
    }
    write_json(decision, paths.decision)
    model = _trained(config, paths, bundled, verdict)
    with open_warehouse(paths.warehouse) as warehouse:
        register_model(warehouse, model)
    return {**decision, "metrics": list(decision["metrics"])}


def promote(config: WeeklyConfig, date: dt.date) -> dict[str, Any]:
    """Makes the accepted model the serving one.

    Raises:
        TrainingError: The model was not judged yet, or another one was promoted since: what it was
            compared with is not what it would replace.
        WarehouseError: It was refused, or another run is writing to the warehouse.
        ModelError: Its weights were changed since.
    """
    paths = AlignmentPaths.of(config, date)
    bundled, evaluated = _measured(paths)
    version, compared = bundled.facts["version"], evaluated.facts["serving_version"]
    now_serving = chosen_model(SERVING, config.work_dir).version
    if now_serving not in (compared, version):
        raise TrainingError(
            f"model {version!r} was compared with {compared!r}, and {now_serving!r} serves now",
            location=str(paths.run),
            remedy="Run `pigeon-rec align evaluate` and `pigeon-rec align gate` again",
        )
    with open_warehouse(paths.warehouse) as warehouse:
        model = promote_model(warehouse, version, config.work_dir)
    return {
        "version": model.version,
        "replaced": now_serving if now_serving != version else None,
        "promoted_at": str(model.promoted_at),
    }


def _measured(paths: AlignmentPaths) -> tuple[StepRecord, StepRecord]:
    """The records of `bundle` and of its evaluation."""
    bundled, evaluated = finished(paths, "bundle"), finished(paths, "evaluate")
    if evaluated.facts["candidate_version"] != bundled.facts["version"]:
        raise TrainingError(
            f"model {bundled.facts['version']!r} was made after the evaluation, which is of "
            f"{evaluated.facts['candidate_version']!r}",
            location=str(paths.run),
            remedy="Run `pigeon-rec align evaluate` for this date again",
        )
    return bundled, evaluated


def _trained(
    config: WeeklyConfig, paths: AlignmentPaths, bundled: StepRecord, verdict: Verdict
) -> TrainedModel:
    begun = finished(paths, "prepare")
    # Where it was trained is no setting of the model.
    settings = config.model_dump(mode="json", exclude={"work_dir"})
    settings["plan"] = begun.inputs["plan"]
    return TrainedModel(
        version=bundled.facts["version"],
        parent_version=begun.facts["parent_version"],
        alignment=paths.run_id,
        config_hash=content_hash(settings),
        config=settings,
        metrics=_by_name(verdict),
        weights_path=bundled.facts["weights_path"],
        weights_sha256=bundled.facts["sha256"],
        decision="accepted" if verdict.accepted else "refused",
        reason=verdict.reason,
    )


def _by_name(verdict: Verdict) -> Mapping[str, Any]:
    return {
        metric.metric: {
            name: value for name, value in dataclasses.asdict(metric).items() if name != "metric"
        }
        for metric in verdict.metrics
    }
