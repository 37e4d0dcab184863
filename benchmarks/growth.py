"""How time and memory of retrieval and planning grow with users, items and history.

One size grows from 1x to 100x while the others are fixed; every point is measured in a separate
process. The costs are processor time, which other processes affect less than the wall clock (given
in the notes), and peak memory above the memory before.

The constant part is measured with a hundredth of the growing size. It is subtracted from every
point before the exponent is fitted by least squares on the logarithms; points at or below it are
left out.

Planning reads only the images of items that are interacted with or recommended, so when only the
catalogue grows, an increasing part of it is not read.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from benchmarks.made_assets import made_images
from benchmarks.memory import peak_above
from benchmarks.plan import NIGHT, Thumbnails
from benchmarks.result import Curve, Figure, Result, stopwatch
from benchmarks.retrieval import made_world
from benchmarks.runner import main
from pigeon_rec.config import NightlyConfig, PlanConfig, RetrievalConfig
from pigeon_rec.nightly.plan import plan_night, recommend
from pigeon_rec.retrieval import HistoryRetriever

__all__ = ["Sizes", "fitted_exponent", "measure"]

TIMES = (1, 3, 10, 30, 100)
AXES = ("users", "items", "history")
_AS_OF = dt.datetime.combine(NIGHT, dt.time(), dt.UTC) + dt.timedelta(days=1)
_RECOMMENDATIONS = 4  # per user
_STRIDE = 7919  # a prime that divides no number of items here, so that a user's items are distinct


@dataclass(frozen=True)
class Sizes:
    """Sizes of the data: users, items of the catalogue, interactions per user."""

    users: int
    items: int
    history: int

    def grown(self, axis: str, times: float) -> Sizes:
        """Returns a copy with one size multiplied by `times`, at least 1."""
        return replace(self, **{axis: max(1, round(getattr(self, axis) * times))})


@dataclass(frozen=True)
class Cost:
    """Processor time and wall-clock time in seconds, peak memory in MB."""

    processor: float
    clock: float
    memory: float


RETRIEVAL = Sizes(users=2_000, items=10_000, history=10)
PLANNING = Sizes(users=300, items=1_000, history=6)


def measure(_: Path, scale: float) -> Result:
    """Grows each size, for retrieval and for planning; `scale` multiplies the base sizes."""
    curves: list[Curve] = []
    notes: list[str] = []
    works = (("retrieval", _retrieve, RETRIEVAL), ("planning", _plan, PLANNING))
    for name, work, base in works:
        small = Sizes(
            max(20, int(base.users * scale)), max(100, int(base.items * scale)), base.history
        )
        for axis in AXES:
            costs = [_in_process(work, small.grown(axis, times)) for times in (0.01, *TIMES)]
            sizes = [getattr(small.grown(axis, times), axis) for times in TIMES]
            notes += [f"{costs[-1].clock:.1f} s wall clock at {sizes[-1]:,}", ""]
            curves += [
                _curve(name, axis, "processor s", sizes, [cost.processor for cost in costs]),
                _curve(name, axis, "MB", sizes, [cost.memory for cost in costs]),
            ]
    return Result(
        f"growth from 1x to {TIMES[-1]}x",
        [
            figure
            for curve, note in zip(curves, notes, strict=True)
            for figure in (
                Figure(f"{curve.name}, {curve.axis}: {curve.unit}, exponent", curve.exponent, ""),
                Figure(
                    f"{curve.name}, {curve.axis}: {curve.unit} at {TIMES[-1]}x",
                    curve.costs[-1],
                    curve.unit,
                    f"constant part {curve.constant:.3g}; {note}".rstrip("; "),
                ),
            )
        ],
        curves=curves,
    )


def fitted_exponent(sizes: Sequence[float], costs: Sequence[float], constant: float = 0.0) -> float:
    """Slope of log(cost - constant) over log(size), by least squares.

    Returns:
        NaN if fewer than two points are above the constant.
    """
    above = [
        (size, cost - constant) for size, cost in zip(sizes, costs, strict=True) if cost > constant
    ]
    if len({size for size, _ in above}) < 2:
        return float("nan")
    x, y = np.log(np.array(above)).T
    return float(np.polyfit(x, y, 1)[0])


def _curve(name: str, axis: str, unit: str, sizes: list[int], costs: list[float]) -> Curve:
    constant, *grown = costs
    return Curve(name, axis, unit, sizes, grown, constant, fitted_exponent(sizes, grown, constant))


def _in_process(work: Callable[[Sizes, Path], Cost], sizes: Sizes) -> Cost:
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        return process.submit(_warm, work, sizes, Path(folder)).result()


def _warm(work: Callable[[Sizes, Path], Cost], sizes: Sizes, folder: Path) -> Cost:
    """Measures after a warm-up, so that the first use of libraries does not count."""
    (folder / "warm").mkdir()
    work(Sizes(20, 100, 6), folder / "warm")
    return work(sizes, folder)


def _retrieve(sizes: Sizes, _: Path) -> Cost:
    """Retrieves a history for one reference per user; making the tables is not counted."""
    world = made_world(sizes.items, sizes.users, sizes.history)
    config = RetrievalConfig()

    def work() -> None:
        retriever = HistoryRetriever(
            world.vectors, world.interactions, world.item_ids, config, _AS_OF
        )
        retriever.retrieve(world.pairs)

    return _cost(work)


def _plan(sizes: Sizes, folder: Path) -> Cost:
    """Runs a night's `recommend` and `plan`; making the inputs is not counted."""
    config = _inputs(sizes, folder)

    def work() -> None:
        recommend(config, NIGHT)
        plan_night(config, NIGHT, encoder=Thumbnails(), model_version="benchmark")

    return _cost(work)


def _inputs(sizes: Sizes, folder: Path) -> NightlyConfig:
    """Writes a catalogue of small images, and users with distinct items each."""
    random = np.random.default_rng(0)
    images = made_images(sizes.items)
    ids = pl.Series("item_id", [f"i{n:07d}" for n in range(sizes.items)])
    pl.DataFrame({"item_id": ids, "image": images}).with_columns(
        title=pl.col("item_id"),
        semantics=pl.lit("a thing"),
        category=pl.lit("things"),
        image_uri=pl.lit("inside"),
        image_sha256=pl.Series([hashlib.sha256(image).hexdigest() for image in images]),
    ).write_parquet(folder / "items.parquet")
    names = pl.Series("user_id", [f"u{n:07d}" for n in range(sizes.users)])
    first = random.integers(0, sizes.items, (sizes.users, 1))
    own = (first + _STRIDE * np.arange(sizes.history)) % sizes.items
    pl.DataFrame(
        [
            names.gather(np.repeat(np.arange(sizes.users), sizes.history)),
            ids.gather(own.reshape(-1)),
        ]
    ).with_columns(
        timestamp=pl.lit(_AS_OF).dt.cast_time_unit("us") - pl.duration(days=1)
    ).write_parquet(folder / "interactions.parquet")
    recommended = random.integers(0, sizes.items, sizes.users * _RECOMMENDATIONS)
    pl.DataFrame(
        [names.gather(np.repeat(np.arange(sizes.users), _RECOMMENDATIONS)), ids.gather(recommended)]
    ).unique(maintain_order=True).with_columns(score=pl.lit(1.0)).write_parquet(
        folder / "recommendations.parquet"
    )
    return NightlyConfig(
        catalogue=str(folder / "items.parquet"),
        interactions=str(folder / "interactions.parquet"),
        recommendations=str(folder / "recommendations.parquet"),
        work_dir=folder / "var",
        plan=PlanConfig(min_interactions=1),
    )


def _cost(work: Callable[[], None]) -> Cost:
    laps: list[float] = []
    with peak_above() as above:
        began = time.process_time()
        with stopwatch(laps):
            work()
        processor = time.process_time() - began
    return Cost(processor, laps[0], above[0] / 1e6)


if __name__ == "__main__":
    main(measure)
