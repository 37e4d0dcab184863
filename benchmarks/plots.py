"""Plots of a run: figures relative to their bars, and costs against sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.result import Bar, Curve, Result

__all__ = ["growth_plot", "ratio_plot"]

_INK = "#22252b"
_HELD = "#2b7a78"
_MISSED = "#c0392b"
_COLOURS = ("#2b7a78", "#d98a5b", "#5b6fd9")


def ratio_plot(results: Sequence[Result]) -> Figure:
    """Plots every figure relative to its bar on one logarithmic axis; above 1 is better."""
    bars = [(result.name, bar) for result in results for bar in result.bars]
    figure = Figure(figsize=(9.0, 1.4 + 0.32 * len(bars)), layout="constrained")
    axes = figure.add_subplot(title="Figures relative to their bars", xlabel="times better")
    for row, (_, bar) in enumerate(bars):
        ratio = _ratio(bar)
        colour = _HELD if bar.met else _MISSED
        axes.plot([1.0, ratio], [row, row], color=colour, linewidth=2.0, alpha=0.6)
        axes.plot([ratio], [row], color=colour, marker="o")
    axes.axvline(1.0, color=_INK, linewidth=1.0)
    axes.set_xscale("log")
    axes.set_yticks(range(len(bars)), [_label(name, bar) for name, bar in bars], fontsize=8)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    return figure


def growth_plot(results: Sequence[Result]) -> Figure:
    """Plots every curve of a run: one row per unit, one column per size, log-log axes."""
    curves = [curve for result in results for curve in result.curves]
    axes_of, units = _distinct(curves, "axis"), _distinct(curves, "unit")
    names = _distinct(curves, "name")
    figure = Figure(figsize=(3.4 * len(axes_of), 2.8 * len(units)), layout="constrained")
    panels = figure.subplots(len(units), len(axes_of), squeeze=False)
    for curve in curves:
        panel = panels[units.index(curve.unit)][axes_of.index(curve.axis)]
        _draw(panel, curve, _COLOURS[names.index(curve.name) % len(_COLOURS)])
    return figure


def _draw(panel: Axes, curve: Curve, colour: str) -> None:
    label = curve.name
    if np.isfinite(curve.exponent):
        label += f", exponent {curve.exponent:.2f}"
    panel.plot(curve.sizes, curve.costs, color=colour, marker="o", markersize=4, label=label)
    panel.axhline(max(curve.constant, 0.0), color=colour, linestyle=":", linewidth=1.0)
    panel.set(xscale="log", yscale="log", xlabel=curve.axis, ylabel=curve.unit)
    panel.grid(alpha=0.3)
    panel.legend(frameon=False, fontsize=7)


def _ratio(bar: Bar) -> float:
    """Value over bar, inverted if less is better, within [0.001, 1000]."""
    value, wanted = (bar.value, bar.wanted) if bar.at_least else (bar.wanted, bar.value)
    return float(np.clip(value / wanted if wanted > 0 else np.inf, 1e-3, 1e3))


def _label(name: str, bar: Bar) -> str:
    side = "at least" if bar.at_least else "at most"
    return f"{name}\n{bar.name}: {bar.value:.3g}, {side} {bar.wanted:g}"


def _distinct(curves: Sequence[Curve], field: str) -> list[str]:
    return list(dict.fromkeys(getattr(curve, field) for curve in curves))
