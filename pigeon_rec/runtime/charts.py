"""Histograms and bars as plain numbers, for a template to draw as SVG or HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHART_HEIGHT", "CHART_WIDTH", "Bar", "Column", "Histogram", "Tick", "bars", "histogram"]

_Values = NDArray[np.float64]
_Counts = NDArray[np.int64]

CHART_WIDTH, CHART_HEIGHT = 300.0, 96.0  # user units of the SVG plot area
_GAP = 1.5  # between columns, in the same units
_MIN_SPAN = 0.02  # a narrower range of scores is widened to this
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Column:
    """One bin: height of the served, and of the rejected stacked on it (SVG units)."""

    x: float
    width: float
    served: float
    rejected: float
    title: str


@dataclass(frozen=True)
class Tick:
    """One label of the score axis at `x` (SVG units)."""

    x: float
    text: str


@dataclass(frozen=True)
class Histogram:
    """Distribution of one score over a night.

    Attributes:
        columns: Bins from low to high.
        ticks: Round values of the axis.
        median: Median of the served, as text; empty if nothing is served.
        median_x: Its position, or None.
        limit: Limit of the quality gate, as text; empty if there is none in the range.
        limit_x: Its position, or None.
    """

    label: str
    columns: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    median: str = ""
    median_x: float | None = None
    limit: str = ""
    limit_x: float | None = None


@dataclass(frozen=True)
class Bar:
    """One count; `share` is its percentage of the largest count."""

    label: str
    count: int
    share: float
    note: str = ""


def histogram(
    label: str,
    served: Sequence[float],
    rejected: Sequence[float] = (),
    *,
    limit: float | None = None,
    bins: int = 30,
) -> Histogram | None:
    """Bins scores of served and rejected assets over their range; None if there are no scores.

    Non-finite scores are left out. `limit`, that of the quality gate, is drawn if it is within the
    range.
    """
    good, bad = _finite(served), _finite(rejected)
    everything = np.concatenate([good, bad])
    if everything.size == 0:
        return None
    low, high = _range(everything)
    edges = np.linspace(low, high, bins + 1)
    counts = [np.histogram(values, edges)[0] for values in (good, bad)]
    middle = float(np.median(good)) if good.size else None
    shown = limit if limit is not None and low <= limit <= high else None
    return Histogram(
        label=label,
        columns=_columns(edges, *counts),
        ticks=_ticks(low, high),
        median="" if middle is None else f"{middle:.2f}",
        median_x=None if middle is None else _place(middle, low, high),
        limit="" if shown is None else f"{shown:g}",
        limit_x=None if shown is None else _place(shown, low, high),
    )


def bars(counts: Mapping[str, int], notes: Mapping[str, str] | None = None) -> tuple[Bar, ...]:
    """Returns counts as bars, the largest first; ties by name."""
    longest = max(counts.values(), default=0)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(
        Bar(name, count, 100.0 * count / longest if longest else 0.0, (notes or {}).get(name, ""))
        for name, count in ordered
    )


def _finite(values: Sequence[float]) -> _Values:
    array = np.asarray(values, np.float64).reshape(-1)
    finite: _Values = array[np.isfinite(array)]
    return finite


def _range(values: _Values) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    missing = max(0.0, _MIN_SPAN - (high - low)) / 2
    return low - missing, high + missing


def _place(value: float, low: float, high: float) -> float:
    return round(CHART_WIDTH * (value - low) / (high - low), 2)


def _columns(edges: _Values, served: _Counts, rejected: _Counts) -> tuple[Column, ...]:
    tallest = max(1, int((served + rejected).max()))
    width = CHART_WIDTH / len(served)
    return tuple(
        Column(
            x=round(width * place + _GAP / 2, 2),
            width=round(width - _GAP, 2),
            served=round(CHART_HEIGHT * int(good) / tallest, 2),
            rejected=round(CHART_HEIGHT * int(bad) / tallest, 2),
            title=f"{edges[place]:.2f} to {edges[place + 1]:.2f}: {good} served, {bad} rejected",
        )
        for place, (good, bad) in enumerate(zip(served, rejected, strict=True))
    )


def _ticks(low: float, high: float) -> tuple[Tick, ...]:
    """Returns two to six round values within the range."""
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in _STEPS if factor * unit >= rough)
    digits = max(0, -math.floor(math.log10(step)) + (1 if f"{step / unit:g}" == "2.5" else 0))
    first, last = math.ceil(low / step), math.floor(high / step)
    values = (step * place for place in range(first, last + 1))
    return tuple(Tick(_place(v, low, high), f"{v + 0.0:.{digits}f}") for v in values)
