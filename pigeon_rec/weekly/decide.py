"""The last steps: the promotion check with the entry into the registry, and the promotion."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.drawing.models import SERVING, chosen_model
from pigeon_rec.errors import ConfigError, TrainingError
from pigeon_rec.evaluation.measure import LOWER_IS_BETTER
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.files import write_json
from pigeon_rec.warehouse import open_warehouse
from pigeon_rec.warehouse.models import TrainedModel, promote_model, register_model
from pigeon_rec.weekly.config import PromotionRules, WeeklyConfig
from pigeon_rec.weekly.evaluate import METHOD
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.promotion_check import Verdict, compare
from pigeon_rec.weekly.records import StepRecord, finished

__all__ = ["check", "promote"]


def check(config: WeeklyConfig, date: dt.date) -> dict[str, Any]:
    """Runs the promotion check, writes `promotion_check.json` and registers the new model.

    The same measurements and rules give the same verdict, so a second run changes nothing.

    Returns:
        `accepted`, `reason`, `version`, `serving_version` and the verdict on every metric.

    Raises:
        TrainingError: `evaluate` has not been done, or was done for another model.
        ConfigError: A rule names a metric that was not measured, or one that must improve and is
            not measurable on the catalogue.
        WarehouseBusyError: Another run is writing to the warehouse.
    """
    paths = AlignmentPaths.of(config, date)
    bundled, evaluated = _measured(paths)
    tables = {name: paths.work_dir / evaluated.facts[name] for name in ("new", "serving")}
    new, serving = (pl.read_parquet(path).filter(method=METHOD) for path in tables.values())
    rules, left_out = _measurable(config.promotion_check, tables["serving"].parent)
    verdict = compare(new, serving, rules, LOWER_IS_BETTER)
    for metric, why in left_out.items():
        reason = f"{verdict.reason}; {metric} is not measurable: {why}"
        verdict = dataclasses.replace(verdict, reason=reason)
    decision = {
        "version": bundled.facts["version"],
        "serving_version": evaluated.facts["serving_version"],
        "not_measurable": left_out,
        **dataclasses.asdict(verdict),
    }
    write_json(decision, paths.promotion_check)
    model = _trained(config, paths, bundled, verdict)
    with open_warehouse(paths.warehouse) as warehouse:
        register_model(warehouse, model)
    return {**decision, "metrics": list(decision["metrics"])}


def promote(config: WeeklyConfig, date: dt.date) -> dict[str, Any]:
    """Makes the accepted model the serving one.

    Raises:
        TrainingError: The model has not been evaluated, or another model than the one it was
            compared with serves now.
        WarehouseError: The model was refused, or another run is writing to the warehouse.
        ModelError: The weights have changed since.
    """
    paths = AlignmentPaths.of(config, date)
    bundled, evaluated = _measured(paths)
    version, compared = bundled.facts["version"], evaluated.facts["serving_version"]
    now_serving = chosen_model(SERVING, config.work_dir).version
    if now_serving not in (compared, version):
        raise TrainingError(
            f"model {version!r} was compared with {compared!r}, and {now_serving!r} serves now",
            location=str(paths.run),
            remedy="Run `pigeon-rec align evaluate` and `pigeon-rec align check` again",
        )
    with open_warehouse(paths.warehouse) as warehouse:
        model = promote_model(warehouse, version, config.work_dir)
    return {
        "version": model.version,
        "replaced": now_serving if now_serving != version else None,
        "promoted_at": str(model.promoted_at),
    }


def _measurable(rules: PromotionRules, measurement: Path) -> tuple[PromotionRules, dict[str, str]]:
    """The rules without those that the catalogue gives no measure for; and the latter, with why."""
    summary = measurement / "evaluation.json"
    known = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
    missing: dict[str, str] = known.get("missing", {})
    hopeless = [metric for metric in rules.improve if metric in missing]
    if hopeless:
        raise ConfigError(
            f"{hopeless[0]} must improve and is not measurable: {missing[hopeless[0]]}",
            location="promotion_check.improve",
            remedy="Name a metric that is, such as hist_jis",
        )
    left_out = {metric: missing[metric] for metric in rules.keep if metric in missing}
    kept = {metric: loss for metric, loss in rules.keep.items() if metric not in left_out}
    return rules.model_copy(update={"keep": kept}), left_out


def _measured(paths: AlignmentPaths) -> tuple[StepRecord, StepRecord]:
    """The records of `bundle` and `evaluate`."""
    bundled, evaluated = finished(paths, "bundle"), finished(paths, "evaluate")
    measured = evaluated.facts.get("new_version")  # earlier versions recorded another name
    if measured != bundled.facts["version"]:
        raise TrainingError(
            f"model {bundled.facts['version']!r} was made after the evaluation of {measured!r}",
            location=str(paths.run),
            remedy="Run `pigeon-rec align evaluate` for this date again",
        )
    return bundled, evaluated


def _trained(
    config: WeeklyConfig, paths: AlignmentPaths, bundled: StepRecord, verdict: Verdict
) -> TrainedModel:
    begun = finished(paths, "prepare")
    # The work directory is not a setting of the model.
    settings = config.model_dump(mode="json", exclude={"work_dir"})
    settings["training"] = begun.inputs["training"]
    return TrainedModel(
        version=bundled.facts["version"],
        parent_version=begun.facts["parent_version"],
        alignment=paths.run_id,
        config_hash=digest(settings),
        config=settings,
        metrics=_by_name(verdict),
        weights_path=bundled.facts["weights_path"],
        weights_sha256=bundled.facts["sha256"],
        decision="accepted" if verdict.accepted else "refused",
        reason=verdict.reason,
    )


def _by_name(verdict: Verdict) -> Mapping[str, Any]:
    metrics = [dataclasses.asdict(metric) for metric in verdict.metrics]
    return {metric.pop("metric"): metric for metric in metrics}
