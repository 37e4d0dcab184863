"""What a benchmark found: figures, the bars they are held against, and the machine."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["Bar", "Figure", "Result", "machine", "main", "run", "stopwatch", "timed"]

_PACKAGES = ("duckdb", "polars", "numpy", "torch")


@dataclass(frozen=True)
class Figure:
    """One measured number, with its unit and what it is a number of."""

    name: str
    value: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A figure that has to reach a value; `at_least` tells on which side of it."""

    name: str
    value: float
    wanted: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether it does."""
        return self.value >= self.wanted if self.at_least else self.value <= self.wanted


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome."""

    name: str
    figures: Sequence[Figure]
    bars: Sequence[Bar] = ()

    def table(self) -> str:
        """The result as text, a line per figure and per bar."""
        names = [figure.name for figure in self.figures] + [bar.name for bar in self.bars]
        width = max(map(len, names))
        lines = [
            f"  {f.name:<{width}}  {_shown(f.value):>12} {f.unit:<10} {f.note}".rstrip()
            for f in self.figures
        ]
        lines += [
            f"  {bar.name:<{width}}  {_shown(bar.value):>12} {'':<10} "
            f"{'at least' if bar.at_least else 'at most'} {_shown(bar.wanted)}: "
            f"{'held' if bar.met else 'MISSED'}"
            for bar in self.bars
        ]
        return "\n".join([self.name, *lines])

    def as_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        fields = dataclasses.asdict(self)
        fields["bars"] = [dataclasses.asdict(bar) | {"met": bar.met} for bar in self.bars]
        return fields


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, load, versions."""
    model = next((line for line in _cpu_lines() if line.startswith("model name")), "")
    return {
        "processor": model.partition(":")[2].strip() or platform.processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


@contextmanager
def stopwatch(laps: list[float]) -> Iterator[None]:
    """Appends the seconds that its block takes."""
    started = time.perf_counter()
    yield
    laps.append(time.perf_counter() - started)


def timed(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Median seconds of each piece of work, done in turns so that a busy moment meets them all."""
    laps: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, its in zip(works, laps, strict=True):
            with stopwatch(its):
                work()
    return [median(its) for its in laps]


def main(*measures: Callable[[Path, float], Result]) -> None:
    """Runs benchmarks as a command; exit status 1 where a bar is missed at full scale."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data; 1 is as stated")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    run(measures, scale=options.scale, as_json=options.json)


def run(
    measures: Sequence[Callable[[Path, float], Result]], *, scale: float, as_json: bool
) -> None:
    """Runs benchmarks and prints what they found; exit status 1 as `main`."""
    found = []
    for measure in measures:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(Path(folder), scale))
        if not as_json:
            print(found[-1].table(), flush=True)
    facts = machine() | {"scale": scale}
    if as_json:
        print(json.dumps({"machine": facts, "results": [result.as_json() for result in found]}))
    else:
        print("machine\n" + "\n".join(f"  {name}: {value}" for name, value in facts.items()))
    if scale >= 1 and not all(bar.met for result in found for bar in result.bars):
        raise SystemExit(1)


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
