"""The report of a night: its numbers as JSON, and what readers get as one gallery page.

Both are read from the serving snapshot, so they show what is served and not what was meant to be.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.errors import WarehouseError
from pigeon_rec.nightly.files import read_table
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.report.gallery import render_gallery
from pigeon_rec.nightly.report.page import build_page
from pigeon_rec.nightly.report.served import ServedNight
from pigeon_rec.runtime.files import write_json, write_text
from pigeon_rec.warehouse import query, with_bytes

__all__ = ["ReportSummary", "read_served_night", "report_night"]

_COUNTS = ("planned", "generated", "reused", "served", "rejected", "skipped")
_FACTS = ("run_id", "model_version", "settings_hash", "seed", "content_sha256")
_QUANTILES: Mapping[str, float] = {"p05": 0.05, "median": 0.5, "p95": 0.95}


@dataclass(frozen=True)
class ReportSummary:
    """What was reported.

    Attributes:
        run_id: The night.
        users: People who are served a picture of their own.
        users_shown: How many of them are on the gallery page.
        served: Pairs served.
        rejected: Pairs refused.
        report: The numbers, `report.json`.
        gallery: The page, `gallery.html`.
    """

    run_id: str
    users: int
    users_shown: int
    served: int
    rejected: int
    report: Path
    gallery: Path


def report_night(config: NightlyConfig, date: dt.date) -> ReportSummary:
    """Writes `report.json` and `gallery.html` of one promoted night.

    Raises:
        WarehouseError: The night is not in the serving snapshot.
        CatalogueError: The catalogue cannot be read.
        PlanError: The night's list of skipped pairs is missing.
    """
    paths = NightPaths.of(config, date)
    night = read_served_night(paths)
    prompt = load_prompt(config.scenario)
    catalogue: Catalogue = load_catalogue(config.catalogue, prompt.aspect)
    page = build_page(night, catalogue, config, prompt)
    write_text(render_gallery(page), paths.gallery)
    write_json(_numbers(night, len(page.users)), paths.report)
    return ReportSummary(
        run_id=paths.run_id,
        users=night.users,
        users_shown=len(page.users),
        served=night.facts["served"],
        rejected=night.facts["rejected"],
        report=paths.report,
        gallery=paths.gallery,
    )


def read_served_night(paths: NightPaths) -> ServedNight:
    """One night as readers of the serving snapshot see it.

    Raises:
        WarehouseError: There is no snapshot, or the night is not in it.
        PlanError: The night's list of skipped pairs is missing.
    """
    of_run = {"run_id": paths.run_id}
    runs = query(paths.serving, "run_summary", of_run)
    if runs.is_empty():
        raise WarehouseError(
            f"the night of {paths.run_id} is not among the served ones",
            location=str(paths.serving),
            remedy="Run `pigeon-rec nightly publish` and `pigeon-rec nightly promote` first",
        )
    return ServedNight(
        facts=runs.row(0, named=True),
        served=with_bytes(query(paths.serving, "run_gallery", of_run)),
        scores=query(paths.serving, "run_scores", of_run),
        rejections=query(paths.serving, "run_rejections", of_run),
        problems=query(paths.serving, "run_problems", of_run),
        skipped=read_table(paths.skipped, "plan"),
    )


def _numbers(night: ServedNight, users_shown: int) -> dict[str, Any]:
    facts = night.facts
    return {
        **{name: facts[name] for name in _FACTS},
        "logical_date": facts["logical_date"].isoformat(),
        "published_at": facts["published_at"].isoformat(),
        "counts": {name: facts[name] for name in _COUNTS}
        | {"users": night.users, "cohort_assets": night.shared.height},
        "rejections": night.reasons(),
        "skipped": night.skips(),
        "problems": night.problem_kinds(),
        "mask_ratios": night.mask_ratios(),
        "scores": _score_numbers(night.scores),
        "gallery": {"users_shown": users_shown, "users_left_out": night.users - users_shown},
    }


def _score_numbers(scores: pl.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Metric -> outcome -> count, mean and quantiles."""
    value = pl.col("value")
    summary = (
        scores.group_by("metric", "outcome")
        .agg(
            value.len().alias("count"),
            value.mean().alias("mean"),
            *(value.quantile(q, "linear").alias(name) for name, q in _QUANTILES.items()),
        )
        .sort("metric", "outcome")
    )
    numbers: dict[str, dict[str, dict[str, float]]] = {}
    for metric, outcome, *values in summary.iter_rows():
        names = ("count", "mean", *_QUANTILES)
        numbers.setdefault(metric, {})[outcome] = dict(zip(names, values, strict=True))
    return numbers
