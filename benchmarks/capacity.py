"""`python -m benchmarks.capacity`: worked plans for 10,000, a million and 100 million users.

Each plan is one run of the night's own planner (`recommend` and `plan`, as in `benchmarks.plan`)
on made-up users, with cohorts and a budget; what it chose is counted, not computed. A scenario of
more users than it simulates plans for a sample of them. The budget for own pictures is cut to
the sample's share and what the planner gave it is multiplied back; pictures of cohorts are as many
as they are, since their number does not follow that of the users. The planner's processor time and
memory for such a scenario are estimates: those of the sample times share to the power -p, where p
is fitted to the runs of this command (1 until there are two sizes).

What drawing a picture takes is measured elsewhere: `--night` reads it from the `plan.json` of a
night that follows measured ones, `--seconds` gives it, else it is the planner's own default.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import polars as pl

from benchmarks.growth import fitted_exponent
from benchmarks.plan import NIGHT, Thumbnails, made_inputs
from benchmarks.result import machine, stopwatch
from pigeon_rec.config import CohortConfig, PlanConfig
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import DEFAULT_SECONDS, plan_night, recommend

__all__ = [
    "SCENARIOS",
    "Outcome",
    "Scenario",
    "measured_seconds",
    "simulate",
    "table",
    "write_table",
]

RECOMMENDATIONS = 2  # proposed to each user
INTERACTIONS = 8  # of each user
ITEMS = 2_000  # of the bundled stickers
NIGHT_HOURS = 8

_MARKS = re.compile(r"(<!-- capacity -->\n).*?(<!-- end of capacity -->)", re.S)


@dataclass(frozen=True)
class Scenario:
    """A night to plan.

    Attributes:
        users: People that the plan is for.
        simulated: How many of them are made and planned for.
        own: Pictures of users' own that the budget has room for.
        cohorts: Most taste cohorts there can be.
        references: Pictures of each.
    """

    users: int
    simulated: int
    own: int
    cohorts: int
    references: int

    @property
    def shared(self) -> int:
        """Pictures of cohorts that the budget has room for."""
        return self.cohorts * self.references

    @property
    def limits(self) -> PlanConfig:
        """The planner's limits for the simulated users."""
        own = math.ceil(self.own * self.simulated / self.users)
        return PlanConfig(
            max_assets=own + self.shared,
            max_assets_per_user=1,
            cohorts=CohortConfig(
                count=self.cohorts,
                references=self.references,
                # A hair more than the quotient: the planner rounds down.
                max_share=min(1.0, (self.shared + 0.5) / (own + self.shared)),
            ),
        )


SCENARIOS = (
    Scenario(10_000, 10_000, own=100, cohorts=8, references=10),
    Scenario(1_000_000, 1_000_000, own=10_000, cohorts=50, references=20),
    Scenario(100_000_000, 100_000, own=1_000_000, cohorts=100, references=50),
)


@dataclass(frozen=True)
class Outcome:
    """What the planner chose for the simulated users, and what that took.

    Attributes:
        scenario: The night.
        own: Pictures planned for users themselves.
        shared: Pictures planned for cohorts.
        in_cohorts: Users who belong to a cohort.
        budget: Pictures that could be planned.
        processor: Processor seconds of `recommend` and `plan`, on all cores.
        seconds: The same by the clock.
        memory: Largest memory of the process, in GB.
        busy: Whether others were at work on the machine.
    """

    scenario: Scenario
    own: int
    shared: int
    in_cohorts: int
    budget: int
    processor: float
    seconds: float
    memory: float
    busy: bool

    @property
    def times(self) -> float:
        """How many users each simulated one stands for."""
        return self.scenario.users / self.scenario.simulated

    @property
    def pictures(self) -> int:
        """Pictures of the whole scenario."""
        return round(self.own * self.times) + self.shared


def simulate(scenario: Scenario) -> Outcome:
    """Plans the night in a process of its own, whose largest memory is then that of planning."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        return process.submit(_simulate, scenario, Path(folder)).result()


def _simulate(scenario: Scenario, folder: Path) -> Outcome:
    busy = bool(machine()["busy"])
    config = made_inputs(
        folder,
        scenario.simulated,
        scenario.limits,
        recommendations=RECOMMENDATIONS,
        interactions=INTERACTIONS,
        items=ITEMS,
    )
    laps: list[float] = []
    began = time.process_time()
    with stopwatch(laps):
        recommend(config, NIGHT)
        summary = plan_night(config, NIGHT, encoder=Thumbnails(), model_version="benchmark")
    return Outcome(
        scenario,
        own=summary.planned - summary.cohort_requests,
        shared=summary.cohort_requests,
        in_cohorts=pl.read_parquet(NightPaths.of(config, NIGHT).cohorts).height,
        budget=summary.budget,
        processor=time.process_time() - began,
        seconds=laps[0],
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        busy=busy,
    )


def measured_seconds(plan_json: Path) -> float:
    """Seconds per picture that earlier nights took, as a night's `plan.json` has it.

    Raises:
        LookupError: No earlier night was measured: the number there is the planner's default.
    """
    facts = json.loads(plan_json.read_text(encoding="utf-8"))
    if not facts["measured_nights"]:
        raise LookupError(f"{plan_json} was planned before any night was measured")
    return float(facts["seconds_per_asset"])


def table(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The plans as a Markdown table, with the formula applied to what was planned.

    Args:
        outcomes: Of this machine, by rising number of users.
        seconds: What drawing a picture takes on one core.
    """
    rows = [
        "| users | planned for | cohorts x references | own pictures | cohort pictures "
        f"| budget used | planner | core hours at {seconds:g} s | cores for {NIGHT_HOURS} hours |",
        "|" + "---|" * 9,
        *(_row(outcome, outcomes, seconds) for outcome in outcomes),
    ]
    return "\n".join(rows)


def _row(outcome: Outcome, outcomes: Sequence[Outcome], seconds: float) -> str:
    scenario = outcome.scenario
    hours = outcome.pictures * seconds / 3600
    sampled = outcome.times > 1
    own = f"{round(outcome.own * outcome.times):,}"
    if sampled:
        own += f" ({outcome.own:,} x {outcome.times:,.0f})"
    power = _power(outcomes)
    planner = (
        f"{outcome.processor * outcome.times ** power('processor'):,.0f} s, "
        f"{outcome.memory * outcome.times ** power('memory'):,.1f} GB"
    )
    cells = (
        f"{scenario.users:,}",
        f"{scenario.simulated:,}",
        f"{scenario.cohorts:,} x {scenario.references}",
        own,
        f"{outcome.shared:,}",
        f"{(outcome.own + outcome.shared) / outcome.budget:.0%}",
        f"{planner} (estimate)" if sampled else planner,
        f"{hours:.3g}",
        f"{math.ceil(hours / NIGHT_HOURS):,}",
    )
    return f"| {' | '.join(cells)} |"


def _power(outcomes: Sequence[Outcome]) -> Callable[[str], float]:
    """What a cost grows with the simulated users to the power of, by the name of the cost."""
    sizes = [outcome.scenario.simulated for outcome in outcomes]

    def of(field: str) -> float:
        found = fitted_exponent(sizes, [getattr(outcome, field) for outcome in outcomes])
        return found if math.isfinite(found) else 1.0

    return of


def write_table(page: Path, text: str) -> None:
    """Puts the table between the page's marks.

    Raises:
        LookupError: The page has no marks.
    """
    old = page.read_text(encoding="utf-8")
    new, found = _MARKS.subn(lambda marks: f"{marks[1]}{text}\n{marks[2]}", old)
    if found != 1:
        raise LookupError(f"{page} has {found} places for the table, not one")
    page.write_text(new, encoding="utf-8")


def main() -> None:
    """Plans every scenario asked for, prints the table, and writes it where asked."""
    parser = argparse.ArgumentParser(description="Worked plans of nights, by the planner itself.")
    parser.add_argument("--users", type=int, nargs="*", help="scenarios of so many users only")
    parser.add_argument("--seconds", type=float, help="seconds per picture on one core")
    parser.add_argument("--night", type=Path, help="plan.json to read the seconds per picture from")
    parser.add_argument("--write", type=Path, help="page whose marked table is replaced")
    given = parser.parse_args()
    seconds = given.seconds or (measured_seconds(given.night) if given.night else DEFAULT_SECONDS)
    chosen = [s for s in SCENARIOS if not given.users or s.users in given.users]
    outcomes: list[Outcome] = []
    for scenario in sorted(chosen, key=lambda scenario: scenario.simulated):
        outcomes.append(simulate(scenario))
        print(json.dumps(dataclasses.asdict(outcomes[-1])), flush=True)
        outcomes.sort(key=lambda outcome: outcome.scenario.users)
        if given.write is not None:
            write_table(given.write, table(outcomes, seconds))
    print(table(outcomes, seconds))


if __name__ == "__main__":
    main()
