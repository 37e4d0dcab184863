"""Results of a benchmark: figures, growth curves, the bars they must reach, and the machine."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Bar", "Curve", "Figure", "Result", "machine", "stopwatch", "timed"]

_PACKAGES = ("duckdb", "faiss-cpu", "polars", "numpy", "torch")
_BUSY = 0.25  # load per core from which the machine counts as busy


@dataclass(frozen=True)
class Figure:
    """One measured number with its unit."""

    name: str
    value: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A bound on a figure: a minimum, or a maximum if `at_least` is false."""

    name: str
    value: float
    wanted: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the value is within the bound."""
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted


@dataclass(frozen=True)
class Curve:
    """How a cost grows with one size, all else equal.

    Attributes:
        name: What is measured.
        axis: The size that grows.
        unit: Unit of the costs.
        sizes: Values of the size, ascending.
        costs: Cost at each size.
        constant: Measured cost at a very small size.
        exponent: Of the power law of the costs minus the constant; NaN if it cannot be fitted.
    """

    name: str
    axis: str
    unit: str
    sizes: Sequence[int]
    costs: Sequence[float]
    constant: float
    exponent: float


@dataclass(frozen=True)
class Result:
    """The result of one benchmark."""

    name: str
    figures: Sequence[Figure]
    bars: Sequence[Bar] = ()
    curves: Sequence[Curve] = ()

    def table(self) -> str:
        """Formats the result as text, one line per figure and per bar."""
        names = [figure.name for figure in self.figures] + [bar.name for bar in self.bars]
        width = max(map(len, names))
        lines = [
            f"  {f.name:<{width}}  {_number(f.value):>12} {f.unit:<10} {f.note}".rstrip()
            for f in self.figures
        ]
        lines += [
            f"  {bar.name:<{width}}  {_number(bar.value):>12} {'':<10} "
            f"{'at least' if bar.at_least else 'at most'} {_number(bar.wanted)}: "
            f"{'held' if bar.met else 'MISSED'}"
            for bar in self.bars
        ]
        return "\n".join([self.name, *lines])

    def as_json(self) -> dict[str, Any]:
        """Converts the result to JSON values."""
        fields = dataclasses.asdict(self)
        fields["bars"] = [dataclasses.asdict(bar) | {"met": bar.met} for bar in self.bars]
        return fields


def machine() -> dict[str, Any]:
    """Describes the machine: processor, cores, memory, load, versions.

    `busy` says that other processes use more than a quarter of the cores. Call this before the
    benchmark, which is load too.
    """
    model = next((line for line in _cpu_lines() if line.startswith("model name")), "")
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    load = os.getloadavg()[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model.partition(":")[2].strip() or platform.processor(),
        "cores": cores,
        "memory": f"{memory / 1e9:.1f} GB",
        "load": round(load, 1),
        "busy": load > _BUSY * cores,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


@contextmanager
def stopwatch(laps: list[float]) -> Iterator[None]:
    """Appends the seconds that its block takes to `laps`."""
    started = time.perf_counter()
    yield
    laps.append(time.perf_counter() - started)


def timed(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Median seconds of each function, run in turns so that busy periods affect all alike."""
    laps: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, seconds in zip(works, laps, strict=True):
            with stopwatch(seconds):
                work()
    return [median(seconds) for seconds in laps]


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
