"""`python -m benchmarks.capacity`: plans for 10,000, a million and 100 million users.

Each plan is a run of the night's planner (`recommend` and `plan`, as in `benchmarks.plan`) for
synthetic users, with cohorts and a budget. A scenario with more users than are simulated plans for
a sample: the budget for users' own assets is scaled down to the sample, and the number planned is
scaled up again; the number of cohort assets does not depend on the number of users. The planner's
processor time for such a scenario is extrapolated by a power law fitted to the runs of this command
(linear until there are two sizes). Its memory is that of the sample, which has several parts of the
usual size: more users are more parts.

The time to draw an asset is not measured here: `--night` reads it from the `plan.json` of a night
that follows measured ones, `--seconds` sets it, and the planner's default is used otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import polars as pl

from benchmarks.growth import fitted_exponent
from benchmarks.plan import NIGHT, Thumbnails, made_inputs
from benchmarks.result import machine, stopwatch
from pigeon_rec.config import CohortConfig, PlanConfig
from pigeon_rec.evaluation.tables import write_between
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import DEFAULT_SECONDS, plan_night, recommend

__all__ = [
    "BEGIN",
    "END",
    "SCENARIOS",
    "Outcome",
    "Scenario",
    "measured_seconds",
    "simulate",
    "table",
]

RECOMMENDATIONS = 2  # per user
INTERACTIONS = 8  # per user
ITEMS = 2_000  # of the bundled stickers
NIGHT_HOURS = 8

BEGIN = "<!-- capacity -->"
END = "<!-- end of capacity -->"


@dataclass(frozen=True)
class Scenario:
    """A night to plan.

    Attributes:
        users: Number of users.
        simulated: Size of the sample that is simulated.
        own: Budget for users' own assets.
        cohorts: Maximum number of taste cohorts.
        references: Assets per cohort.
    """

    users: int
    simulated: int
    own: int
    cohorts: int
    references: int

    @property
    def shared(self) -> int:
        """Budget for cohort assets."""
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
                # Half an asset more, because the planner rounds down.
                max_share=min(1.0, (self.shared + 0.5) / (own + self.shared)),
            ),
        )


SCENARIOS = (
    Scenario(10_000, 10_000, own=100, cohorts=8, references=10),
    Scenario(1_000_000, 1_000_000, own=10_000, cohorts=50, references=20),
    Scenario(100_000_000, 400_000, own=1_000_000, cohorts=100, references=50),
)


@dataclass(frozen=True)
class Outcome:
    """The plan for the simulated users, and its cost.

    Attributes:
        scenario: The night.
        own: Assets planned for single users.
        shared: Assets planned for cohorts.
        in_cohorts: Users in a cohort.
        budget: Assets that could be planned.
        processor: Processor time of `recommend` and `plan` on all cores, in seconds.
        seconds: Wall-clock time of the same.
        memory: Peak memory of the process, in GB.
        busy: Whether other processes used the machine.
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
    def factor(self) -> float:
        """Users per simulated user."""
        return self.scenario.users / self.scenario.simulated

    @property
    def assets(self) -> int:
        """Assets of the whole scenario."""
        return round(self.own * self.factor) + self.shared


def simulate(scenario: Scenario) -> Outcome:
    """Plans the night in a separate process, so that its peak memory is that of planning."""
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
    """Returns the seconds per asset of earlier nights, from a night's `plan.json`.

    Raises:
        LookupError: No earlier night was measured.
    """
    facts = json.loads(plan_json.read_text(encoding="utf-8"))
    if not facts["measured_nights"]:
        raise LookupError(f"{plan_json} was planned before any night was measured")
    return float(facts["seconds_per_asset"])


def table(outcomes: Sequence[Outcome], seconds: float) -> str:
    """Returns the plans as a Markdown table, with the time to draw them.

    Args:
        outcomes: Plans made on this machine, by ascending number of users.
        seconds: Time to draw an asset on one core.
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
    hours = outcome.assets * seconds / 3600
    sampled = outcome.factor > 1
    own = f"{round(outcome.own * outcome.factor):,}"
    if sampled:
        own += f" ({outcome.own:,} x {outcome.factor:,.0f})"
    exponent = _exponent(outcomes)
    planner = f"{outcome.processor * outcome.factor**exponent:,.0f} s, {outcome.memory:,.1f} GB"
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


def _exponent(outcomes: Sequence[Outcome]) -> float:
    """Returns the exponent of the processor time in the number of simulated users."""
    sizes = [outcome.scenario.simulated for outcome in outcomes]
    fitted = fitted_exponent(sizes, [outcome.processor for outcome in outcomes])
    return fitted if math.isfinite(fitted) else 1.0


def main() -> None:
    """Plans the chosen scenarios, prints the table, and writes it to a page with `--write`."""
    parser = argparse.ArgumentParser(description="Plans nights of several sizes.")
    parser.add_argument("--users", type=int, nargs="*", help="only scenarios of these sizes")
    parser.add_argument("--seconds", type=float, help="seconds per asset on one core")
    parser.add_argument("--night", type=Path, help="plan.json with the seconds per asset")
    parser.add_argument("--write", type=Path, help="page whose marked table is replaced")
    options = parser.parse_args()
    seconds = options.seconds or (
        measured_seconds(options.night) if options.night else DEFAULT_SECONDS
    )
    chosen = [s for s in SCENARIOS if not options.users or s.users in options.users]
    outcomes: list[Outcome] = []
    for scenario in sorted(chosen, key=lambda scenario: scenario.simulated):
        outcomes.append(simulate(scenario))
        print(json.dumps(dataclasses.asdict(outcomes[-1])), flush=True)
        outcomes.sort(key=lambda outcome: outcome.scenario.users)
        if options.write is not None:
            write_between(table(outcomes, seconds) + "\n", options.write, BEGIN, END)
    print(table(outcomes, seconds))


if __name__ == "__main__":
    main()
