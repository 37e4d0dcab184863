"""Lift and policy values against simulated experiments whose truth is known.

Every simulated experiment is a cohort of its own, so that one query estimates all of them. Users
differ in how much they are shown and how often they click, and those who are shown more click less:
intervals that take exposures for independent are too short, and plain means of logged clicks are
biased.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse import open_warehouse, promote, publish, query
from tests.warehouse.exposures import NOON, add_exposures, exposures_of, numbered
from tests.warehouse.nights import night_of

Floats = NDArray[np.float64]

RUNS, USERS = 400, 240
KINDS = 3
SHOWN = np.array([1.0, 4.0, 9.0])  # a user of a kind is shown 1 + Poisson of these
CLICKS = np.array([0.40, 0.15, 0.06])  # mean click rates of the original, by kind
DRAWN = np.array([0.2, 0.5, 0.8])  # logged probabilities of the personalised arm, by kind
GAIN = 0.06
# Three standard errors of a share of `RUNS` intervals.
LOWEST, HIGHEST = (0.95 + side * 3 * np.sqrt(0.95 * 0.05 / RUNS) for side in (-1, 1))


def truth(arm: str) -> float:
    """Expected clicks per exposure if everybody is in one arm."""
    rates = CLICKS + GAIN * (1 - CLICKS) if arm == "personalised" else CLICKS
    return float(((1 + SHOWN) * rates).sum() / (1 + SHOWN).sum())


def simulate(seed: int, probability: Floats, *, by_user: bool) -> pl.DataFrame:
    """Logged exposures of all experiments; arms are drawn once per user, or for each exposure."""
    random = np.random.default_rng(seed)
    users = RUNS * USERS
    kind = random.integers(0, KINDS, users)
    click = random.beta(8 * CLICKS[kind], 8 * (1 - CLICKS[kind]))
    number = 1 + random.poisson(SHOWN[kind])
    chance = probability[kind]
    user = np.repeat(np.arange(users), number)
    place = random.random(users)[user] if by_user else random.random(len(user))
    drawn = place < chance[user]
    rate = np.where(drawn, click[user] + GAIN * (1 - click[user]), click[user])
    minutes = np.arange(len(user)) % 1440
    return numbered(
        pl.DataFrame(
            {
                "user_id": pl.Series(user).cast(pl.String),
                "item_id": pl.Series(np.arange(len(user))).cast(pl.String),
                "arm": np.where(drawn, "personalised", "original"),
                "propensity": np.where(drawn, chance[user], 1 - chance[user]),
                "shown_at": pl.Series([NOON]).gather(np.zeros(len(user), int))
                + pl.Series(minutes * 60_000_000).cast(pl.Duration("us")),
                "clicked": random.random(len(user)) < rate,
                "taste": pl.Series(kind[user]).cast(pl.String),
                "cohort": pl.Series(user // USERS).cast(pl.String),
            }
        )
    )


@dataclass
class World:
    """Imported exposures of a simulation."""

    folder: Path
    rows: pl.DataFrame

    def ask(self, name: str, **params: str) -> pl.DataFrame:
        return query(self.folder / "serving.duckdb", name, params)

    def experiments(self, name: str, **params: str) -> pl.DataFrame:
        found = self.ask(name, **params).filter(grouped_by="cohort")
        assert found.height == RUNS
        return found.sort(pl.col("value").cast(pl.Int64))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[pl.DataFrame], World]:
    def make(rows: pl.DataFrame) -> World:
        folder = tmp_path_factory.mktemp("world")
        with open_warehouse(folder / "pigeon.duckdb") as connection:
            publish(connection, night_of([("ann", "noto/apple")]))
        promote(folder / "pigeon.duckdb", folder / "serving.duckdb")
        assert add_exposures(folder, rows).counts["added"] == rows.height
        return World(folder, rows)

    return make


@pytest.fixture(scope="module")
def experiment(world: Callable[[pl.DataFrame], World]) -> World:
    """Users are in one arm each, with equal chances."""
    return world(simulate(1, np.full(KINDS, 0.5), by_user=True))


@pytest.fixture(scope="module")
def logged(world: Callable[[pl.DataFrame], World]) -> World:
    """The arm of each exposure was drawn, rarely the better one for those who click much."""
    return world(simulate(2, DRAWN, by_user=False))


ARMS = {"treatment": "personalised", "control": "original"}


def coverage(found: pl.DataFrame, name: str, true: float | Floats) -> float:
    low, high = (found[f"{name}_{side}"].to_numpy() for side in ("low", "high"))
    return float(((low <= true) & (true <= high)).mean())


def width(found: pl.DataFrame, name: str) -> float:
    """Mean length of the intervals."""
    return float((found[f"{name}_high"] - found[f"{name}_low"]).to_numpy().mean())


def distance(values: pl.Series, true: float) -> float:
    """How many standard errors the mean of all experiments is from the truth."""
    errors = values.to_numpy() - true
    return float(errors.mean() / (errors.std(ddof=1) / np.sqrt(len(errors))))


def test_intervals_of_the_lift_cover_the_truth(experiment: World) -> None:
    found = experiment.experiments("ab_lift", **ARMS)
    treatment, control = truth("personalised"), truth("original")
    assert LOWEST < coverage(found, "difference", treatment - control) < HIGHEST
    assert LOWEST < coverage(found, "ratio", treatment / control) < HIGHEST
    assert abs(distance(found["difference"], treatment - control)) < 3.5


def test_intervals_of_independent_exposures_would_not(experiment: World) -> None:
    """The simulation can tell: users must be the units."""
    found = experiment.experiments("ab_lift", **ARMS)
    variances = [
        found[f"{arm}_rate"] * (1 - found[f"{arm}_rate"]) / found[f"{arm}_shown"] for arm in ARMS
    ]
    half = 1.96 * (variances[0] + variances[1]).sqrt()
    naive = pl.DataFrame(
        {"d_low": found["difference"] - half, "d_high": found["difference"] + half}
    )
    assert coverage(naive, "d", truth("personalised") - truth("original")) < LOWEST


def test_users_who_see_both_arms_are_covered_too(world: Callable[[pl.DataFrame], World]) -> None:
    both = world(simulate(3, np.full(KINDS, 0.5), by_user=False))
    found = both.experiments("ab_lift", **ARMS)
    true = truth("personalised") - truth("original")
    assert LOWEST < coverage(found, "difference", true) < HIGHEST
    ratio = truth("personalised") / truth("original")
    assert LOWEST < coverage(found, "ratio", ratio) < HIGHEST


@pytest.mark.parametrize("arm", ["personalised", "original"])
def test_values_of_a_policy_are_unbiased_and_covered(logged: World, arm: str) -> None:
    found, true = logged.experiments("policy_value", policy=arm), truth(arm)
    assert abs(distance(found["ips"], true)) < 3.5
    assert abs(distance(found["snips"], true)) < 3.5
    assert LOWEST < coverage(found, "ips", true) < HIGHEST
    assert LOWEST < coverage(found, "snips", true) < HIGHEST
    assert found["mean_weight"].mean() == pytest.approx(1, abs=0.01)
    assert width(found, "snips") < width(found, "ips")


@pytest.mark.parametrize("arm", ["personalised", "original"])
def test_replay_is_unbiased_and_covered(logged: World, arm: str) -> None:
    found, true = logged.experiments("policy_replay", policy=arm), truth(arm)
    assert abs(distance(found["replay"], true)) < 3.5
    assert LOWEST < coverage(found, "replay", true) < HIGHEST


@pytest.mark.parametrize("arm", ["personalised", "original"])
def test_plain_means_of_the_arm_are_biased(logged: World, arm: str) -> None:
    """The simulation can tell: without propensities the estimates are wrong."""
    means = logged.rows.filter(arm=arm).group_by("cohort").agg(pl.col("clicked").mean())
    assert abs(distance(means["clicked"], truth(arm))) > 10


def test_equal_chances_replay_every_matching_exposure(experiment: World) -> None:
    """Algorithm 2 of Li et al.: then the estimate is the plain mean of the arm."""
    replayed = experiment.ask("policy_replay", policy="original").filter(grouped_by="total")
    rows = experiment.rows.filter(arm="original")
    assert replayed["accepted"].item() == rows.height
    assert replayed["replay"].item() == pytest.approx(rows["clicked"].mean())
    lift = experiment.ask("ab_lift", **ARMS).filter(grouped_by="total")
    assert replayed["replay"].item() == pytest.approx(lift["control_rate"].item())


def test_a_policy_may_have_an_arm_for_each_cohort(logged: World) -> None:
    policy = json.dumps(
        {"*": "personalised", **{str(run): "original" for run in range(0, RUNS, 2)}}
    )
    runs = np.arange(RUNS)
    true = np.where(runs % 2 == 0, truth("original"), truth("personalised"))
    for name, estimate in (("policy_value", "ips"), ("policy_replay", "replay")):
        found = logged.experiments(name, policy=policy)
        assert LOWEST < coverage(found, estimate, true) < HIGHEST
    some = logged.ask("policy_value", policy='{"7": "original", "9": "personalised"}')
    assert some.filter(grouped_by="cohort")["value"].to_list() == ["7", "9"]


def test_groups_add_up_to_the_total(logged: World) -> None:
    for name, params in (("ab_lift", ARMS), ("policy_value", {"policy": "original"})):
        found = logged.ask(name, **params)
        assert found["grouped_by"].unique(maintain_order=True).to_list() == [
            "total", "taste", "cohort", "day",
        ]  # fmt: skip
        count = "control_shown" if name == "ab_lift" else "shown"
        rate = "control_rate" if name == "ab_lift" else "ips"
        [(shown, clicks)] = (
            found.filter(grouped_by="total").select(count, pl.col(rate) * pl.col(count)).rows()
        )
        for group in ("taste", "cohort", "day"):
            part = found.filter(grouped_by=group)
            assert part[count].sum() == shown
            assert (part[rate] * part[count]).sum() == pytest.approx(clicks)
    days = logged.ask("ab_lift", **ARMS).filter(grouped_by="day")["value"].to_list()
    assert days == ["2026-06-03", "2026-06-04"]


def small(world: Callable[[pl.DataFrame], World], *rows: pl.DataFrame) -> World:
    return world(numbered(pl.concat(rows)))


def test_a_lift_by_hand(world: Callable[[pl.DataFrame], World]) -> None:
    """Two users in each arm: the intervals of the formula in the docs."""
    shown = {"a": [1, 1, 0, 0], "b": [1, 0], "c": [1, 0, 0], "d": [0, 1, 0, 0, 0]}
    rows = [
        exposures_of(user, [bool(c) for c in clicks], arm=arm, cohort="x", taste="y")
        for (user, clicks), arm in zip(
            shown.items(), ["personalised"] * 2 + ["original"] * 2, strict=True
        )
    ]
    found = small(world, *rows).ask("ab_lift", **ARMS)
    assert found["grouped_by"].to_list() == ["total", "taste", "cohort", "day"]
    treatment, control = 3 / 6, 2 / 8
    squares = ((2 - treatment * 4) / 6) ** 2 + ((1 - treatment * 2) / 6) ** 2
    squares += ((1 - control * 3) / 8) ** 2 + ((1 - control * 5) / 8) ** 2
    half = 1.959963984540054 * (squares * 4 / 2) ** 0.5
    for row in found.iter_rows(named=True):
        assert row["difference"] == pytest.approx(treatment - control)
        assert row["difference_low"] == pytest.approx(treatment - control - half)
        assert row["ratio"] == pytest.approx(2)
        assert row["ratio_low"] * row["ratio_high"] == pytest.approx(4)
        assert (row["treatment_users"], row["control_shown"]) == (2, 8)


def test_too_little_gives_no_interval(world: Callable[[pl.DataFrame], World]) -> None:
    alone = small(world, exposures_of("a", [True]), exposures_of("b", [False], arm="original"))
    [lift] = alone.ask("ab_lift", **ARMS).filter(grouped_by="total").to_dicts()
    assert (lift["difference"], lift["difference_low"], lift["ratio"]) == (1.0, None, None)
    assert alone.ask("ab_lift", treatment="x", control="y").height == 0
    [value] = alone.ask("policy_value", policy="nobody").filter(grouped_by="total").to_dicts()
    assert (value["shown"], value["matched"]) == (2, 0)
    assert value["ips"] is value["ips_low"] is value["snips"] is value["snips_high"] is None
    assert alone.ask("policy_replay", policy="nobody").height == 0
    [one] = alone.ask("policy_replay", policy="original").filter(grouped_by="total").to_dicts()
    assert (one["replay"], one["replay_low"]) == (0.0, None)
    unknown = alone.ask("policy_value", policy="original").filter(grouped_by="cohort")
    assert unknown["value"].to_list() == ["unknown"]


def test_days_are_those_of_utc(world: Callable[[pl.DataFrame], World]) -> None:
    late = dt.datetime(2026, 6, 3, 23, 59, 59, tzinfo=dt.UTC)
    found = small(world, exposures_of("a", [True], shown_at=late)).ask(
        "policy_value", policy="personalised"
    )
    assert found.filter(grouped_by="day")["value"].to_list() == ["2026-06-03"]


@pytest.mark.parametrize("policy", ['{"a": ', '["original"]', "{}"])
def test_a_policy_that_is_none(world: Callable[[pl.DataFrame], World], policy: str) -> None:
    one = small(world, exposures_of("a", [True]))
    if policy == '{"a": ':
        with pytest.raises(WarehouseError, match="neither an arm nor a JSON object"):
            one.ask("policy_value", policy=policy)
    else:
        assert one.ask("policy_value", policy=policy)["matched"].sum() == 0
