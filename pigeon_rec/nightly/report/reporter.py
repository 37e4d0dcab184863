"""Reporting a night: its numbers as JSON, and its served assets as a gallery page.

Both are read from the serving snapshot, so they show exactly what readers get.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.gate import read_night_gate
from pigeon_rec.nightly.files import SKIPPED_SCHEMA, read_plan_info, read_table
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.report.gallery import render_gallery
from pigeon_rec.nightly.report.page import build_page
from pigeon_rec.runtime.files import write_json, write_text
from pigeon_rec.runtime.openmetrics import openmetrics
from pigeon_rec.runtime.step_times import read_step_times
from pigeon_rec.warehouse.metrics import night_metrics
from pigeon_rec.warehouse.served_night import ServedNight, read_served_night
from pigeon_rec.warehouse.warnings import night_warnings, refusals

__all__ = ["ReportSummary", "report_night"]

logger = logging.getLogger(__name__)

_COUNTS: Final = ("planned", "generated", "reused", "served", "rejected", "skipped")
_FACTS: Final = ("run_id", "model_version", "settings_hash", "seed", "content_sha256")


@dataclass(frozen=True)
class ReportSummary:
    """Numbers and files of a report.

    Attributes:
        users: Users with an asset of their own.
        users_shown: Users on the gallery page.
        report: The numbers, `report.json`.
        metrics: The numbers for monitoring, `metrics.prom`.
        gallery: The page, `gallery.html`.
        warnings: What should be looked into, each a sentence; also in both files and in the log.
    """

    run_id: str
    users: int
    users_shown: int
    served: int
    rejected: int
    report: Path
    metrics: Path
    gallery: Path
    warnings: tuple[str, ...]


def report_night(config: NightlyConfig, date: dt.date) -> ReportSummary:
    """Writes `report.json`, `metrics.prom` and `gallery.html` of one promoted night.

    The metrics are also written to `report.metrics`, if that is set.

    Raises:
        WarehouseError: The night is not in the serving snapshot.
        CatalogueError: The catalogue cannot be read.
        PlanError: The night's list of skipped recommendations is missing.
    """
    paths = NightPaths.of(config, date)
    night = read_served_night(paths.serving, paths.run_id)
    skipped = read_table(paths.skipped, "plan", SKIPPED_SCHEMA)
    prompt = load_prompt(config.scenario)
    catalogue = load_catalogue(config.catalogue, prompt.aspect)
    plan = read_plan_info(paths)
    gate = read_night_gate(paths.gate, config)
    warnings = (*night_warnings(night, plan, gate.limits, config.plan), *map(str, gate.warnings()))
    for warning in warnings:
        logger.warning("%s: %s", paths.run_id, warning)
    page = build_page(night, skipped, catalogue, config, prompt, gate.limits)
    write_text(render_gallery(replace(page, warnings=warnings)), paths.gallery)
    words = {"name": prompt.scenario, "pictures": prompt.pictures, "taste": prompt.taste}
    numbers = {
        "refusals": refusals(night, plan),
        "warnings": list(warnings),
        "gate": gate.facts(),
        "scenario": words,
        "users_by_taste": page.tastes,
    }
    counts = _numbers(night, skipped, len(page.users))
    write_json(counts | numbers, paths.report)
    gauges = night_metrics(
        night,
        plan,
        skipped=counts["skipped"],
        warnings={"night": len(warnings) - len(gate.warnings()), "gate": len(gate.warnings())},
        steps=read_step_times(paths.seconds),
    )
    for file in filter(None, (paths.metrics, config.report.metrics)):
        write_text(openmetrics(gauges, config.report.metrics_labels), file)
    return ReportSummary(
        run_id=paths.run_id,
        users=night.users,
        users_shown=len(page.users),
        served=night.facts["served"],
        rejected=night.facts["rejected"],
        report=paths.report,
        metrics=paths.metrics,
        gallery=paths.gallery,
        warnings=warnings,
    )


def _numbers(night: ServedNight, skipped: pl.DataFrame, users_shown: int) -> dict[str, Any]:
    facts = night.facts
    return {
        **{name: facts[name] for name in _FACTS},
        "logical_date": facts["logical_date"].isoformat(),
        "published_at": facts["published_at"].isoformat(),
        "counts": {name: facts[name] for name in _COUNTS}
        | {"users": night.users, "cohort_assets": night.shared.height},
        "rejections": night.reasons(),
        "skipped": dict(skipped["reason"].value_counts().iter_rows()),
        "problems": night.problem_kinds(),
        "mask_ratios": night.mask_ratios(),
        "scores": night.score_numbers(),
        "gallery": {"users_shown": users_shown, "users_left_out": night.users - users_shown},
    }
