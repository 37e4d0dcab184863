"""The pictures of a run: figures against their bars, and costs against sizes."""

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
    """Every bar of a run on one logarithmic axis: 1 is the bar, to the right of it is better."""
    bars = [(result.name, bar) for result in results for bar in result.bars]
    figure = Figure(figsize=(9.0, 1.4 + 0.32 * len(bars)), layout="constrained")
    axes = figure.add_subplot(title="Against the bars", xlabel="times as good as the bar asks for")
    for row, (_, bar) in enumerate(bars):
        good = _goodness(bar)
        colour = _HELD if bar.met else _MISSED
        axes.plot([1.0, good], [row, row], color=colour, linewidth=2.0, alpha=0.6)
        axes.plot([good], [row], color=colour, marker="o")
    axes.axvline(1.0, color=_INK, linewidth=1.0)
    axes.set_xscale("log")
    axes.set_yticks(range(len(bars)), [_label(name, bar) for name, bar in bars], fontsize=8)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    return figure


def growth_plot(results: Sequence[Result]) -> Figure:
    """Every curve of a run: a row per unit, a panel per size that grew, both axes logarithmic."""
    curves = [curve for result in results for curve in result.curves]
    axes_of, units = _kinds(curves, "axis"), _kinds(curves, "unit")
    names = _kinds(curves, "name")
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


def _goodness(bar: Bar) -> float:
    """Value over bar, turned round where less is better; a cost of nothing is drawn at 1000."""
    value, wanted = (bar.value, bar.wanted) if bar.at_least else (bar.wanted, bar.value)
    return float(np.clip(value / wanted if wanted > 0 else np.inf, 1e-3, 1e3))


def _label(name: str, bar: Bar) -> str:
    side = "at least" if bar.at_least else "at most"
    return f"{name}\n{bar.name}: {bar.value:.3g}, {side} {bar.wanted:g}"


def _kinds(curves: Sequence[Curve], field: str) -> list[str]:
    return list(dict.fromkeys(getattr(curve, field) for curve in curves))
