"""Metrics of a served night, for a team's monitoring."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from pigeon_rec.runtime.openmetrics import Gauge
from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.warehouse.served_night import ServedNight
from pigeon_rec.warehouse.warnings import refusals

__all__ = ["night_metrics"]

# Shards may be drawn side by side, and the report is not done when it writes the metrics.
_UNLIKE: Final = ("generate", "report")


def night_metrics(
    night: ServedNight,
    plan: Mapping[str, Any],
    *,
    skipped: Mapping[str, int],
    warnings: Mapping[str, int],
    steps: Mapping[str, float],
) -> tuple[Gauge, ...]:
    """Returns the metrics of one night.

    Args:
        night: What readers get.
        plan: Content of `plan.json`.
        skipped: Recommendations that were not planned, by reason.
        warnings: Number of warnings by source, such as `gate`.
        steps: Seconds of the steps before the report.
    """
    return (
        *_identity(night.facts),
        *_counts(night, plan, skipped),
        Gauge.of("pigeon_night_warnings", "Warnings of the report, by source", "source", warnings),
        *_times(steps, night.drawing_times),
        *_sizes(night),
    )


def _identity(facts: Mapping[str, Any]) -> Iterator[Gauge]:
    midnight = dt.datetime.combine(facts["logical_date"], dt.time(), tzinfo=dt.UTC)
    for name, text, time in (
        ("date", "Start of the night's logical date (UTC)", midnight),
        ("published", "When the night was published", facts["published_at"]),
    ):
        yield Gauge.single(
            f"pigeon_night_{name}_timestamp_seconds", text, time.timestamp(), unit="seconds"
        )
    model = {"version": facts["model_version"]}
    yield Gauge("pigeon_night_model", "The model that drew the night; always 1", [(model, 1)])


def _counts(
    night: ServedNight, plan: Mapping[str, Any], skipped: Mapping[str, int]
) -> Iterator[Gauge]:
    facts, reasons, refused = night.facts, night.reasons(), refusals(night, plan)
    for name, text, value in (
        ("planned", "Requests of the plan", facts["planned"]),
        ("drawn", "Requests drawn tonight, refused ones included", night.drawn),
        ("reused", "Served requests whose picture an earlier night drew", facts["reused"]),
        ("served", "Requests that readers get a picture for", facts["served"]),
        ("users", "Users with a picture of their own", night.users),
        ("cohort_assets", "Served pictures of taste cohorts", night.shared.height),
    ):
        yield Gauge.single(f"pigeon_night_{name}", text, value)
    failed = {reason: count for reason, count in reasons.items() if reason in FAILURES}
    for name, text, label, values in (
        ("refused", "Requests that the quality gate refused tonight", "reason", refused["tonight"]),
        (
            "refused_before",
            "Requests left out since an earlier night refused them",
            "reason",
            refused["before"],
        ),
        ("failed", "Requests that failed and will be tried again", "reason", failed),
        ("skipped", "Recommendations that were not planned", "reason", skipped),
        ("problems", "Bad items, pictures and rows of the inputs", "kind", night.problem_kinds()),
    ):
        yield Gauge.of(f"pigeon_night_{name}", text, label, dict(sorted(values.items())))
    text = "Share of the requests that the quality gate refuses, 0 to 1"
    yield Gauge.single("pigeon_night_refusal_ratio", text, refused["rate"], unit="ratio")


def _times(steps: Mapping[str, float], drawing: pl.DataFrame) -> Iterator[Gauge]:
    seconds, assets = float(drawing["seconds"].sum()), int(drawing["assets"].sum())
    text = "Seconds of a step; of generate, summed over the shards that were drawn"
    times = {name: time for name, time in sorted(steps.items()) if name not in _UNLIKE}
    if assets:
        times["generate"] = seconds
    yield Gauge.of("pigeon_night_step_seconds", text, "step", times, unit="seconds")
    if assets:
        text = "Mean seconds of drawing a picture, loading included"
        each = round(seconds / assets, 6)
        yield Gauge.single("pigeon_night_picture_seconds", text, each, unit="seconds")


def _sizes(night: ServedNight) -> Iterator[Gauge]:
    pictures = int(night.served.unique("asset_key")["image"].bin.size().sum())
    for name, text, size in (
        ("picture", "Bytes of the served pictures", pictures),
        ("snapshot", "Bytes of the serving snapshot", night.snapshot_bytes),
    ):
        yield Gauge.single(f"pigeon_night_{name}_bytes", text, size, unit="bytes")
