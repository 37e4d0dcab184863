"""Plots of an evaluation, as SVG text for an HTML page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

__all__ = ["curve_plot", "method_plot"]

_INK = "#22252b"
_ACCENT = "#2b7a78"
_LINES = ("#2b7a78", "#d98a5b", "#5b6fd9", "#a34b78")


def method_plot(methods: Mapping[str, Any], metrics: Mapping[str, str]) -> str:
    """Plots means with intervals of every method, one panel per metric.

    Args:
        methods: `methods` of `evaluation.json`.
        metrics: Metric -> title; metrics that no method has are left out.
    """
    shown = [m for m in metrics if any(m in v["metrics"] for v in methods.values())]
    height = 0.8 + 0.3 * len(methods)
    figure = Figure(figsize=(3.1 * max(1, len(shown)), height), layout="constrained")
    names = list(methods)
    for panel, metric in enumerate(shown, start=1):
        axes = figure.add_subplot(1, len(shown), panel, title=metrics[metric])
        for row, name in enumerate(names):
            _point(axes, row, methods[name]["metrics"].get(metric), full=name == "full")
        labels = [methods[name]["label"] for name in names] if panel == 1 else [""] * len(names)
        axes.set_yticks(range(len(names)), labels)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(axis="x", alpha=0.3)
    return _svg(figure)


def curve_plot(curves: Sequence[tuple[str, Mapping[str, Any]]], metrics: Mapping[str, str]) -> str:
    """Plots metrics of one or more curves over their common x-axis, with bands of the intervals.

    Args:
        curves: Label and curve of `evaluation.json`.
        metrics: Metric -> title; metrics that no point has are left out.
    """
    every = [point["metrics"] for _, curve in curves for point in curve["points"]]
    shown = {m: title for m, title in metrics.items() if any(m in point for point in every)}
    figure = Figure(figsize=(3.1 * max(1, len(shown)), 2.5), layout="constrained")
    for panel, (metric, title) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot(1, len(shown), panel, title=title)
        for colour, (label, curve) in zip(_LINES, curves, strict=False):
            points = [p for p in curve["points"] if metric in p["metrics"]]
            x = [p["x"] for p in points]
            mean, low, high = (
                [100.0 * p["metrics"][metric][key] for p in points]
                for key in ("mean", "low", "high")
            )
            axes.plot(x, mean, color=colour, marker=".", label=label)
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_xlabel(curves[0][1]["axis"])
        axes.grid(alpha=0.3)
    if len(curves) > 1 and shown:
        axes.legend(frameon=False)
    return _svg(figure)


def _point(axes: Axes, row: int, interval: Mapping[str, Any] | None, *, full: bool) -> None:
    if interval is None:
        return
    mean, low, high = (100.0 * interval[key] for key in ("mean", "low", "high"))
    colour = _ACCENT if full else _INK
    axes.plot([low, high], [row, row], color=colour, linewidth=2.0, alpha=0.5)
    axes.plot([mean], [row], color=colour, marker="o", markersize=5)


def _svg(figure: Figure) -> str:
    """Returns SVG without prologue, the same in every run."""
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "pigeon", "font.size": 8.0}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
