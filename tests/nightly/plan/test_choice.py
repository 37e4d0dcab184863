"""The choice of requests: within every limit, best first, and a reason for every pair."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.config import CohortConfig, PlanConfig
from pigeon_rec.nightly.plan.choice import (
    Choice,
    choose,
    choose_among,
    decide,
    expected_views,
    left_out,
    placed,
    prioritise,
    screen,
    threshold,
)

SCHEMA = {"user_id": pl.String(), "item_id": pl.String(), "priority": pl.Float64()}

# Few different priorities, so that ties are common.
priorities = st.sampled_from([0.0, 0.25, 0.5, 1.0])
own_pairs = st.dictionaries(
    st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdef")), priorities, max_size=30
)
shared_pairs = st.dictionaries(
    st.tuples(st.sampled_from(["cohort:0", "cohort:1"]), st.sampled_from("abcdef")),
    priorities.map(lambda priority: 5.0 * priority),
    max_size=12,
)
limits = st.builds(
    PlanConfig,
    max_assets_per_user=st.integers(1, 4),
    cohorts=st.builds(CohortConfig, max_share=st.sampled_from([0.0, 0.25, 1.0])),
)


def table(pairs: dict[tuple[str, str], float]) -> pl.DataFrame:
    rows = [(*pair, priority) for pair, priority in pairs.items()]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def never(_: pl.DataFrame) -> pl.DataFrame:
    """Finds no request that is not to be drawn again."""
    return refusals([])


def refusals(rows: Sequence[tuple[str, ...]]) -> pl.DataFrame:
    names = ["user_id", "item_id", "reason", "detail", "cause"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String()), orient="row")


def decisions(
    choice: Choice, own: dict[tuple[str, str], float], config: PlanConfig
) -> pl.DataFrame:
    """The decision on every pair of a user, best first."""
    pairs = placed(
        table(own).sort("priority", "user_id", "item_id", descending=[True, False, False])
    )
    pairs = pairs.with_columns(reason=pl.lit(None, pl.String), detail=pl.lit(None, pl.String))
    affected = pairs.filter(pl.col("user_id").is_in(choice.affected.implode()))
    decided = decide(pairs.lazy(), affected, choice, config.max_assets_per_user).collect()
    return decided.select("user_id", "item_id", "reason", "detail")


def of_cohorts(choice: Choice) -> pl.DataFrame:
    return choice.requests.filter(pl.col("user_id").str.starts_with("cohort:"))


@settings(max_examples=150)
@given(own=own_pairs, shared=shared_pairs, config=limits, budget=st.integers(0, 20))
def test_no_limit_is_exceeded_and_every_pair_has_one_reason(
    own: dict[tuple[str, str], float],
    shared: dict[tuple[str, str], float],
    config: PlanConfig,
    budget: int,
) -> None:
    choice = choose(table(own), table(shared), config, budget, never)
    assert choice.requests.height <= budget
    assert of_cohorts(choice).height <= config.cohorts.max_share * budget
    people = choice.requests.join(of_cohorts(choice), on="user_id", how="anti")
    counts = people["user_id"].value_counts()["count"].to_list()
    assert all(count <= config.max_assets_per_user for count in counts)
    decided = decisions(choice, own, config)
    assert decided.height == len(own)
    assert set(decided.select("user_id", "item_id").rows()) == set(own)
    planned = decided.filter(pl.col("reason") == "planned")
    assert set(planned.select("user_id", "item_id").rows()) == set(
        people.select("user_id", "item_id").rows()
    )
    excluded = left_out(decided.group_by("reason").agg(pl.len().alias("count")))
    assert sum(excluded.values()) + planned.height == len(own)
    assert (planned["detail"].is_null()).all()


@settings(max_examples=150)
@given(own=own_pairs, shared=shared_pairs, config=limits, budget=st.integers(1, 20))
def test_priority_orders_the_choice(
    own: dict[tuple[str, str], float],
    shared: dict[tuple[str, str], float],
    config: PlanConfig,
    budget: int,
) -> None:
    choice = choose(table(own), table(shared), config, budget, never)
    chosen = choice.requests["priority"].to_list()
    assert chosen == sorted(chosen, reverse=True)
    left = decisions(choice, own, config).join(table(own), on=["user_id", "item_id"])
    for user, item, priority in (
        left.filter(pl.col("reason") == "over_budget")
        .select("user_id", "item_id", "priority")
        .iter_rows()
    ):
        assert len(chosen) == budget
        assert priority <= chosen[-1], (user, item)
    for user, priority in (
        left.filter(pl.col("reason") == "over_user_limit").select("user_id", "priority").iter_rows()
    ):
        better = left.filter(pl.col("user_id") == user, pl.col("priority") >= priority)
        assert better.height > config.max_assets_per_user


@settings(max_examples=60)
@given(
    own=own_pairs,
    shared=shared_pairs,
    config=limits,
    budget=st.integers(1, 20),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_rows_does_not_matter(
    own: dict[tuple[str, str], float],
    shared: dict[tuple[str, str], float],
    config: PlanConfig,
    budget: int,
    order: object,
) -> None:
    mixed = list(own.items())
    order.shuffle(mixed)  # type: ignore[attr-defined]
    first = choose(table(own), table(shared), config, budget, never)
    again = choose(table(dict(mixed)), table(dict(reversed(shared.items()))), config, budget, never)
    assert first.requests.equals(again.requests)
    mixed_up = decisions(again, dict(mixed), config)
    assert decisions(first, own, config).equals(mixed_up)


def test_reasons_name_the_limits() -> None:
    own = {("u", "a"): 1.0, ("u", "b"): 0.5, ("v", "a"): 0.25}
    config = PlanConfig(max_assets_per_user=1)
    choice = choose(table(own), table({}), config, 1, never)
    assert decisions(choice, own, config).rows() == [
        ("u", "a", "planned", None),
        ("u", "b", "over_user_limit", "number 2 of the user's pairs; 1 are planned"),
        ("v", "a", "over_budget", "priority 0.25; the last pair within the budget has 1.0"),
    ]


CAUSES = {"known_refusal": "off_target", "repeated_failure": "drawing_failed"}
refused_pairs = st.dictionaries(
    st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdef"))
    | st.tuples(st.sampled_from(["cohort:0", "cohort:1"]), st.sampled_from("abcdef")),
    st.sampled_from(sorted(CAUSES)),
    max_size=30,
)


@settings(max_examples=150)
@given(
    own=own_pairs,
    shared=shared_pairs,
    config=limits,
    budget=st.integers(0, 20),
    refused=refused_pairs,
)
def test_refused_requests_give_their_place_to_the_next(
    own: dict[tuple[str, str], float],
    shared: dict[tuple[str, str], float],
    config: PlanConfig,
    budget: int,
    refused: dict[tuple[str, str], str],
) -> None:
    asked: list[tuple[str, str]] = []

    def look_up(requests: pl.DataFrame) -> pl.DataFrame:
        pairs = requests.select("user_id", "item_id").rows()
        asked.extend(pairs)
        rows = [
            (*pair, refused[pair], "why", CAUSES[refused[pair]])
            for pair in pairs
            if pair in refused
        ]
        return refusals(rows)

    choice = choose(table(own), table(shared), config, budget, look_up)
    own_left, shared_left = (
        table({pair: priority for pair, priority in pairs.items() if pair not in refused})
        for pairs in (own, shared)
    )
    assert choice.requests.equals(choose(own_left, shared_left, config, budget, never).requests)
    assert len(asked) == len(set(asked))
    found = [refused[pair] for pair in asked if pair in refused]
    assert choice.refused_before == {
        cause: found.count(reason) for reason, cause in CAUSES.items() if reason in found
    }
    reasons = {
        (user, item): reason for user, item, reason, _ in decisions(choice, own, config).iter_rows()
    }
    assert set(reasons) == set(own)
    for pair in set(asked) & set(refused) & set(own):
        assert reasons[pair] == refused[pair]


@settings(max_examples=150)
@given(
    own=own_pairs,
    shared=shared_pairs,
    config=limits,
    budget=st.integers(0, 20),
    refused=refused_pairs,
)
def test_reading_only_the_best_chooses_as_reading_all(
    own: dict[tuple[str, str], float],
    shared: dict[tuple[str, str], float],
    config: PlanConfig,
    budget: int,
    refused: dict[tuple[str, str], str],
) -> None:
    def look_up(requests: pl.DataFrame) -> pl.DataFrame:
        pairs = requests.select("user_id", "item_id").rows()
        rows = [
            (*pair, refused[pair], "why", CAUSES[refused[pair]])
            for pair in pairs
            if pair in refused
        ]
        return refusals(rows)

    pairs, limit = placed(table(own)), config.max_assets_per_user

    def read(lowest: float, ties: int, affected: pl.Series) -> pl.DataFrame:
        contends = (pl.col("place") <= limit) | pl.col("user_id").is_in(affected.implode())
        known = pairs.filter(contends)
        tied = known.filter(pl.col("priority") == lowest).sort("user_id", "item_id").head(ties)
        return pl.concat([known.filter(pl.col("priority") > lowest), tied]).drop("place")

    counts = pairs.filter(pl.col("place") <= limit).group_by("priority").len("count")
    choice = choose_among(counts, read, table(shared), config, budget, look_up)
    whole = choose(table(own), table(shared), config, budget, look_up)
    assert choice.requests.equals(whole.requests)
    assert choice.refused.sort("user_id", "item_id").equals(
        whole.refused.sort("user_id", "item_id")
    )
    assert decisions(choice, own, config).equals(decisions(whole, own, config))


@given(
    parts=st.lists(st.lists(st.integers(0, 2_000_000), max_size=20), min_size=1, max_size=5),
    wanted=st.integers(0, 60),
)
def test_counts_of_parts_have_the_threshold_of_all_priorities_sorted(
    parts: list[list[int]], wanted: int
) -> None:
    values = [[micro / 1e6 for micro in part] for part in parts]
    counts = pl.concat(
        pl.DataFrame({"priority": part}, schema={"priority": pl.Float64})
        .group_by("priority")
        .agg(pl.len().cast(pl.Int64).alias("count"))
        for part in values
    )
    lowest, ties = threshold(counts.group_by("priority").agg(pl.col("count").sum()), wanted)
    every = sorted((value for part in values for value in part), reverse=True)
    best = [value for value in every if value > lowest]
    best += [value for value in every if value == lowest][:ties]
    assert best == every[:wanted]


def test_cohorts_compete_for_the_budget_within_their_share() -> None:
    own = {(user, "a"): 1.0 for user in "uvwxyz"}
    shared = {("cohort:0", item): 9.0 for item in "abc"} | {("cohort:1", "a"): 0.5}
    config = PlanConfig(cohorts=CohortConfig(max_share=0.5))
    assert of_cohorts(choose(table(own), table(shared), config, 4, never)).height == 2
    everything = choose(table(own), table(shared), config, 10, never)
    assert everything.requests.height == 10
    assert everything.requests["user_id"][-1] == "cohort:1"


def test_expected_views_are_the_discount_of_ndcg() -> None:
    ranks = pl.DataFrame({"rank": [1, 3, 7]}, schema={"rank": pl.Int32()})
    assert ranks.select(expected_views()).to_series().to_list() == pytest.approx([1, 1 / 2, 1 / 3])


def test_the_gain_is_the_distance_from_the_history() -> None:
    recommendations = pl.DataFrame(
        {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"], "expected_views": [1.0, 0.5, 1.0]}
    )
    histories = recommendations.head(2).select(
        "user_id",
        "item_id",
        pl.Series("history_ids", [["x"], ["x", "y"]]),
        pl.Series("history_scores", [[1.0], [1.0, 1.0]]),
        pl.Series("history_similarity", [[0.25], [-0.5, -1.0]], dtype=pl.List(pl.Float32())),
    )
    ranked = prioritise(recommendations, histories)
    assert ranked["expected_gain"].to_list() == [0.75, 1.75]
    assert ranked["priority"].to_list() == [0.75, 0.875]


def test_users_named_like_cohorts_are_skipped() -> None:
    recommendations = pl.DataFrame({"user_id": ["cohort:0", "u"], "item_id": ["a", "a"]})
    counts = pl.DataFrame({"user_id": ["cohort:0", "u"], "usable": [9, 9]})
    fit, skipped = screen(recommendations, pl.Series(["a"]), counts, {}, 5)
    assert fit["user_id"].to_list() == ["u"]
    assert skipped.select("user_id", "reason").rows() == [("cohort:0", "reserved_user")]
