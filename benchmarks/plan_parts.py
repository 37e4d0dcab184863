"""Planning many users in parts: the same plan, in which time and in how much memory.

A night for a million synthetic users is planned in 1, 4 and 16 parts. Every step (`recommend`,
`split`, each part, and `plan`, which merges them) runs in a process of its own, one after the
other, as tasks of the DAG would, and its processor time, wall-clock time and peak memory are
measured. The plan and the decision on every pair must be the same to the bit. Then nights of a
tenth and three tenths of the users show how time and memory grow in parts of the usual size.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from benchmarks.growth import fitted_exponent
from benchmarks.plan import NIGHT, Thumbnails, made_inputs
from benchmarks.result import Bar, Figure, Result
from benchmarks.runner import main
from pigeon_rec.config import CohortConfig, NightlyConfig, PlanConfig
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import plan_night, plan_parts, recommend, split_users
from pigeon_rec.nightly.plan.inputs import night_parts
from pigeon_rec.runtime.digests import digest, frame_sha256
from pigeon_rec.runtime.files import read_parquet

__all__ = ["Cost", "in_parts", "measure", "planned_in_parts"]

T = TypeVar("T")
USERS = 1_000_000
PARTS = (1, 4, 16)
SHARES = (0.1, 0.3, 1.0)
MOST_MEMORY = 2.0  # GB of any process of a night in parts
MOST_EXPONENT = 1.05
MOST_EXTRA = 1.1  # time in parts, of the time in one piece
_RECOMMENDATIONS, _INTERACTIONS, _ITEMS = 2, 8, 2_000  # as `benchmarks.capacity`
_ROOM = 1.03
_FILES = ("plan", "explained", "skipped", "cohorts", "problems")
_PLAN = PlanConfig(
    max_assets=11_000,
    max_assets_per_user=1,
    cohorts=CohortConfig(count=50, references=20, max_share=0.1),
)


@dataclass(frozen=True)
class Cost:
    """What one process took.

    Attributes:
        step: What it did: `recommend`, `split`, `plan-part` or `plan`.
        processor: Seconds on all cores.
        clock: Wall-clock seconds.
        memory: Peak memory of the whole process, in GB.
    """

    step: str
    processor: float
    clock: float
    memory: float


def planned_in_parts(config: NightlyConfig) -> tuple[list[Cost], str]:
    """Plans a night as the DAG does; returns the cost of each process and a hash of their rows."""
    costs = [_in_process("recommend", _recommend, config), _in_process("split", _split, config)]
    parts = len(night_parts(NightPaths.of(config, NIGHT)))
    numbers = range(parts) if parts > 1 else ()
    costs += [_in_process("plan-part", _part, config, number) for number in numbers]
    costs.append(_in_process("plan", _plan, config))
    return costs, _in_spawned(_content, config)


def measure(folder: Path, scale: float) -> Result:
    """Compares one piece with parts, and the usual parts of growing nights."""
    users = int(USERS * scale)
    config = _in_spawned(_inputs, folder, users)
    figures: list[Figure] = []
    nights: dict[int, list[Cost]] = {}
    hashes: set[str] = set()
    for parts in PARTS:
        divided = in_parts(config, users, parts)
        nights[parts], found = planned_in_parts(divided)
        hashes.add(found)
        figures += _figures(f"{parts} parts", nights[parts])
    grown = [_grown(folder / f"{share:g}", int(users * share)) for share in SHARES]
    sizes = [int(users * share) for share in SHARES]
    exponents = {
        "time": fitted_exponent(sizes, [_total(costs) for costs in grown]),
        "memory": fitted_exponent(sizes, [_peak(costs) for costs in grown]),
    }
    for size, costs in zip(sizes, grown, strict=True):
        figures += _figures(f"{size:,} users, usual parts", costs)
    figures += [Figure(f"exponent of {name}", value, "") for name, value in exponents.items()]
    whole = _total(nights[1])
    return Result(
        f"plan of {users:,} users in parts",
        figures,
        [
            Bar("different plans", len(hashes), 1, at_least=False),
            *(
                Bar(f"time of {parts} parts", _total(costs) / whole, MOST_EXTRA, at_least=False)
                for parts, costs in nights.items()
            ),
            Bar("memory of a process", _peak(nights[PARTS[-1]]), MOST_MEMORY, at_least=False),
            *(
                Bar(f"exponent of {name}", value, MOST_EXPONENT, at_least=False)
                for name, value in exponents.items()
            ),
        ],
    )


def _grown(folder: Path, users: int) -> list[Cost]:
    folder.mkdir()
    return planned_in_parts(_in_spawned(_inputs, folder, users))[0]


def _figures(name: str, costs: Sequence[Cost]) -> list[Figure]:
    by_step = {cost.step: [c for c in costs if c.step == cost.step] for cost in costs}
    peaks = ", ".join(f"{step} {_peak(each):.2f} GB" for step, each in by_step.items())
    times = ", ".join(f"{step} {_total(each):.1f} s" for step, each in by_step.items())
    return [
        Figure(f"{name}: processor time", _total(costs), "s", times),
        Figure(f"{name}: wall-clock time", sum(cost.clock for cost in costs), "s", "one by one"),
        Figure(f"{name}: peak memory of a process", _peak(costs), "GB", peaks),
    ]


def _total(costs: Sequence[Cost]) -> float:
    return sum(cost.processor for cost in costs)


def _peak(costs: Sequence[Cost]) -> float:
    return max(cost.memory for cost in costs)


def in_parts(config: NightlyConfig, users: int, parts: int) -> NightlyConfig:
    """Returns the settings of a night in a number of parts, whose sizes are estimates."""
    most = math.ceil(_ROOM * users / parts) if parts > 1 else 2 * users
    plan = config.plan.model_copy(update={"users_per_part": most})
    return config.model_copy(update={"plan": plan})


def _inputs(folder: Path, users: int) -> NightlyConfig:
    return made_inputs(
        folder,
        users,
        _PLAN,
        recommendations=_RECOMMENDATIONS,
        interactions=_INTERACTIONS,
        items=_ITEMS,
    )


def _in_spawned(work: Callable[..., T], *args: object) -> T:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *args).result()


def _in_process(step: str, work: Callable[..., object], *args: object) -> Cost:
    return _in_spawned(_measured, step, work, *args)


def _measured(step: str, work: Callable[..., object], *args: object) -> Cost:
    processor, began = time.process_time(), time.monotonic()
    work(*args)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return Cost(step, time.process_time() - processor, time.monotonic() - began, memory)


def _content(config: NightlyConfig) -> str:
    """Hashes the rows of all files of the plan, in their order."""
    files = (getattr(NightPaths.of(config, NIGHT), name) for name in _FILES)
    return digest([frame_sha256(read_parquet(file)) for file in files])


def _recommend(config: NightlyConfig) -> None:
    recommend(config, NIGHT)


def _split(config: NightlyConfig) -> None:
    split_users(config, NIGHT, encoder=Thumbnails(), model_version="benchmark")


def _part(config: NightlyConfig, number: int) -> None:
    plan_parts(config, NIGHT, number, encoder=Thumbnails(), model_version="benchmark")


def _plan(config: NightlyConfig) -> None:
    plan_night(config, NIGHT, encoder=Thumbnails(), model_version="benchmark")


if __name__ == "__main__":
    main(measure)
