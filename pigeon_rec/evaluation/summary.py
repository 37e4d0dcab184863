"""Summarises an evaluation: means, intervals and differences, as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.evaluation.encoders import JudgeEncoder
from pigeon_rec.evaluation.frechet import frechet_interval
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.evaluation.measure import METRICS
from pigeon_rec.evaluation.methods import CURVES, FULL, METHODS, curve_methods
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.runtime.bootstrap import Interval, mean_interval, paired_interval

__all__ = ["summarise"]

_FID: Final = "fid_judge"
_MIN_FID_CASES: Final = 20

Images = NDArray[np.uint8]


def summarise(
    per_case: pl.DataFrame,
    pictures: Mapping[str, Images],
    judges: Judges,
    settings: EvaluationSettings,
    real: Images,
) -> dict[str, Any]:
    """Returns the results that `evaluation.json` has about methods.

    Args:
        per_case: `method, case_id, metric, value`.
        pictures: Method -> its pictures, uint8 `[n, side, side, 3]`.
        judges: The judges whose features the Fréchet distance uses.
        settings: Confidence and number of resamples.
        real: Real held-out artwork, which the Fréchet distance is to.

    Returns:
        `methods` (name -> label, cases, metric -> interval), `differences` (full model minus each
        other method, paired over their common cases) and `curves` (name -> points).
    """
    tables = {name: _table(part) for (name,), part in per_case.group_by("method")}
    distances = _distances(pictures, judges, settings, real)
    methods = {
        name: {
            "label": METHODS[name].label,
            "cases": tables[name].height,
            "metrics": _means(tables[name], settings) | distances.get(name, {}),
        }
        for name in settings.methods
        if name in tables
    }
    return {
        "methods": methods,
        "differences": _differences(tables, settings),
        "curves": {
            curve: points
            for curve in settings.curves
            if (points := _points(curve, tables, settings))["points"]
        },
    }


def _table(part: pl.DataFrame) -> pl.DataFrame:
    """One row per case, one column per metric."""
    return part.pivot(on="metric", index="case_id", values="value").sort("case_id")


def _means(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, Any]:
    return {
        metric: _plain(mean_interval(table[metric], **_bootstrap(settings)))
        for metric in METRICS
        if metric in table.columns and table[metric].is_finite().any()
    }


def _differences(tables: Mapping[str, pl.DataFrame], settings: EvaluationSettings) -> Any:
    """Method -> metric -> full model minus the method."""
    if FULL.name not in tables:
        return {}
    differences = {}
    for name in settings.methods:
        if name == FULL.name or name not in tables:
            continue
        both = tables[FULL.name].join(tables[name], on="case_id", suffix="_other")
        differences[name] = {
            metric: _plain(
                paired_interval(both[metric], both[f"{metric}_other"], **_bootstrap(settings))
            )
            for metric in METRICS
            if f"{metric}_other" in both.columns and both[f"{metric}_other"].is_finite().any()
        }
    return differences


def _points(curve: str, tables: Mapping[str, pl.DataFrame], settings: EvaluationSettings) -> Any:
    points = [
        {"x": x, "cases": tables[method.name].height,
         "metrics": _means(tables[method.name], settings)}
        for x, method in curve_methods(curve)
        if method.name in tables
    ]  # fmt: skip
    return {"axis": CURVES[curve], "points": points}


def _distances(
    pictures: Mapping[str, Images], judges: Judges, settings: EvaluationSettings, real: Images
) -> dict[str, dict[str, Any]]:
    """Fréchet distance of each method to the real held-out artwork, if there is enough of both."""
    if len(real) < _MIN_FID_CASES:
        return {}
    encode = JudgeEncoder(judges)
    known = encode(real)
    return {
        name: {
            _FID: _plain(
                frechet_interval(encode(pictures[name]), known, confidence=settings.confidence)
            )
        }
        for name in settings.methods
        if name in pictures and len(pictures[name]) >= _MIN_FID_CASES
    }


def _bootstrap(settings: EvaluationSettings) -> dict[str, Any]:
    return {"confidence": settings.confidence, "resamples": settings.resamples}


def _plain(interval: Interval) -> dict[str, Any]:
    """Returns an interval as JSON values; NaN becomes null."""
    fields = dataclasses.asdict(interval)
    return {k: (None if np.isnan(v) else round(v, 6)) for k, v in fields.items()}
