"""What a benchmark found: figures, curves, the bars they are held against, and the machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

__all__ = [
    "Bar",
    "Curve",
    "Figure",
    "Result",
    "machine",
    "main",
    "options",
    "run",
    "stopwatch",
    "timed",
]

_PACKAGES = ("duckdb", "faiss-cpu", "polars", "numpy", "torch")
_BUSY = 0.25


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
class Curve:
    """How a cost grows with one size, all else equal.

    Attributes:
        name: What was done.
        axis: What grew.
        unit: Of the costs.
        sizes: What it grew to, ascending.
        costs: Measured at each size.
        constant: What the work costs where hardly anything of the size is left; measured.
        exponent: Of the costs above the constant, against the sizes; NaN if there is nothing above.
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
    """One benchmark's outcome."""

    name: str
    figures: Sequence[Figure]
    bars: Sequence[Bar] = ()
    curves: Sequence[Curve] = ()

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
    """What the figures depend on: processor, cores, memory, load, versions.

    `busy` tells that others were at work on more than a quarter of the cores: call it before
    anything is measured, as a benchmark is load too.
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


def options() -> argparse.ArgumentParser:
    """What every benchmark command understands."""
    parser = argparse.ArgumentParser(description="Compares ways of doing the same, in one run.")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the data; 1 is as stated")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out", type=Path, help="folder for bench.json and the plots ratios.png and growth.png"
    )
    return parser


def main(*measures: Callable[[Path, float], Result]) -> None:
    """Runs benchmarks as a command; exit status 1 where a bar is missed at full scale."""
    given = options().parse_args()
    run(measures, scale=given.scale, as_json=given.json, out=given.out)


def run(
    measures: Sequence[Callable[[Path, float], Result]],
    *,
    scale: float,
    as_json: bool,
    out: Path | None = None,
) -> None:
    """Runs benchmarks and prints what they found; exit status 1 as `main`.

    A missed bar stops none of the others. What is known so far is written after each of them, so
    that one that breaks takes nothing along.
    """
    facts = machine() | {"scale": scale}
    found: list[Result] = []
    for measure in measures:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(Path(folder), scale))
        if not as_json:
            print(found[-1].table(), flush=True)
        if out is not None:
            _write(facts, found, out)
    if as_json:
        print(json.dumps(_as_json(facts, found)))
    else:
        print("machine\n" + "\n".join(f"  {name}: {value}" for name, value in facts.items()))
        if facts["busy"]:
            print("  Others were at work: these are figures of a busy machine.")
    missed = [
        f"{result.name}: {bar.name}" for result in found for bar in result.bars if not bar.met
    ]
    if scale >= 1 and missed:
        print("missed\n" + "\n".join(f"  {name}" for name in missed), file=sys.stderr)
        raise SystemExit(1)


def _as_json(facts: Mapping[str, Any], found: Sequence[Result]) -> dict[str, Any]:
    return {"machine": dict(facts), "results": [result.as_json() for result in found]}


def _write(facts: Mapping[str, Any], found: Sequence[Result], out: Path) -> None:
    from benchmarks.plots import growth_plot, ratio_plot

    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_as_json(facts, found), indent=2)
    (out / "bench.json").write_text(text + "\n", encoding="utf-8")
    if any(result.bars for result in found):
        ratio_plot(found).savefig(out / "ratios.png", dpi=150)
    if any(result.curves for result in found):
        growth_plot(found).savefig(out / "growth.png", dpi=150)


def _cpu_lines() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
