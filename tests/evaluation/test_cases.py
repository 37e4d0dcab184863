"""Held-out cases: pairs, users, references and histories."""

from __future__ import annotations

import polars as pl
import pytest

from pigeon_rec.data.world import SimulatedUsers, load_world
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.cases import (
    CASE_SCHEMA,
    LONG,
    cases_with_histories,
    held_out_cases,
)
from tests.demo.truth import user_truth

WORLD = load_world("bundled")
HISTORIES = ("retrieved_ids", "recent_ids", "random_ids")


@pytest.fixture(scope="module")
def cases() -> pl.DataFrame:
    return cases_with_histories(24, 7)


@pytest.fixture(scope="module")
def users() -> SimulatedUsers:
    return WORLD.test_users()


@pytest.fixture(scope="module")
def items() -> dict[str, dict[str, object]]:
    columns = ("item_id", "style", "concept", "held_out")
    return {str(row["item_id"]): row for row in WORLD.artwork().select(columns).to_dicts()}


def test_cases_have_the_schema_that_others_rely_on(cases: pl.DataFrame) -> None:
    assert cases.select(CASE_SCHEMA.names()).schema == CASE_SCHEMA
    assert cases["case_id"].n_unique() == 24


def test_more_cases_begin_with_the_same_ones(cases: pl.DataFrame) -> None:
    assert held_out_cases(3, 7).equals(cases.select(CASE_SCHEMA.names()).head(3))


def test_another_seed_gives_other_pairs(cases: pl.DataFrame) -> None:
    assert set(held_out_cases(3, 8)["truth_id"]).isdisjoint(cases["truth_id"])


def test_the_truth_is_a_held_out_pair(
    cases: pl.DataFrame, items: dict[str, dict[str, object]]
) -> None:
    pairs = set(cases.select("style", "concept").iter_rows())
    assert pairs <= WORLD.held_out_pairs()
    for case in cases.to_dicts():
        truth = items[case["truth_id"]]
        assert (truth["style"], truth["concept"]) == (case["style"], case["concept"])


def test_the_reference_is_the_concept_in_a_style_the_user_does_not_like(
    cases: pl.DataFrame, items: dict[str, dict[str, object]], users: SimulatedUsers
) -> None:
    truth = {str(row["user_id"]): row for row in users.users.to_dicts()}
    for case in cases.to_dicts():
        reference, user = items[case["reference_id"]], truth[case["user_id"]]
        assert reference["concept"] == case["concept"]
        assert user["preferred_style"] == case["style"]
        assert reference["style"] not in {user["preferred_style"], user["second_style"]}
        assert not reference["held_out"]


def test_no_test_user_is_among_the_bundled_ones(cases: pl.DataFrame) -> None:
    assert set(cases["user_id"]).isdisjoint(user_truth()["user_id"])


def test_histories_are_the_users_own_and_show_nothing_held_out(
    cases: pl.DataFrame, items: dict[str, dict[str, object]], users: SimulatedUsers
) -> None:
    own = users.interactions.group_by("user_id").agg("item_id")
    owned = {str(user): set(ids) for user, ids in own.iter_rows()}
    for case in cases.to_dicts():
        for name in HISTORIES:
            assert len(case[name]) == len(set(case[name])) == LONG
            assert set(case[name]) <= owned[case["user_id"]] - {case["reference_id"]}
            assert not any(items[item]["held_out"] for item in case[name])
        assert case["history_ids"] == case["retrieved_ids"][:5]


def test_recent_items_are_the_latest(cases: pl.DataFrame, users: SimulatedUsers) -> None:
    case = cases.row(0, named=True)
    seen = users.interactions.filter(
        (pl.col("user_id") == case["user_id"]) & (pl.col("item_id") != case["reference_id"])
    )
    latest = seen.sort("timestamp", descending=True).head(LONG)
    assert set(case["recent_ids"]) == set(latest["item_id"])


def test_noise_comes_in_other_styles(
    cases: pl.DataFrame, items: dict[str, dict[str, object]]
) -> None:
    for case in cases.to_dicts():
        assert case["style"] not in {items[item]["style"] for item in case["noise_ids"]}


@pytest.mark.parametrize("count", [0, -3])
def test_impossible_counts_are_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        held_out_cases(count, 0)
