"""Taste cohorts: membership, refits, and independence of row order."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.config import CohortConfig
from pigeon_rec.retrieval import cohorts
from pigeon_rec.retrieval.cohorts import (
    fit_cohorts,
    popular_items,
    refit_moment,
    sample_users,
    user_profiles,
)
from pigeon_rec.retrieval.embeddings import Vectors

REFIT = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
TASTES = 3
PER_TASTE = 20
ITEMS = [f"t{taste}-{number:02d}" for taste in range(TASTES) for number in range(PER_TASTE)]


def vectors() -> Vectors:
    """Items of one taste have similar vectors; tastes are orthogonal."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(TASTES, 8), PER_TASTE, axis=0) + rng.normal(0, 0.1, (len(ITEMS), 8))
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def interactions(
    sizes: tuple[int, ...], items_each: int = 4, day: int = 0, seed: int = 1
) -> pl.DataFrame:
    """`sizes[t]` users of taste `t` with items of that taste, `day` days after the refit."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{taste}-{user:03d}", f"t{taste}-{item:02d}", REFIT + dt.timedelta(days=day))
        for taste, size in enumerate(sizes)
        for user in range(size)
        for item in rng.choice(PER_TASTE, items_each, replace=False)
    ]
    schema = {
        "user_id": pl.String(),
        "item_id": pl.String(),
        "timestamp": pl.Datetime("us", "UTC"),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


@dataclass(frozen=True)
class Found:
    """Members of tonight's cohorts, and their popular items."""

    members: pl.DataFrame
    interactions: pl.DataFrame


def found(rows: pl.DataFrame, seed: int = 0, parts: int = 1, **settings: int) -> Found:
    """Finds cohorts of users who are assigned in parts."""
    config = CohortConfig(**{"count": 3, "min_users": 5, **settings})
    owners = rows["user_id"].unique().sort()
    divided = [owners.gather_every(parts, first) for first in range(parts)]
    samples = pl.concat([sample_users(users, config)["user_id"] for users in divided])
    sample = rows.filter(pl.col("user_id").is_in(sample_users(samples, config)["user_id"]))
    cohorts = fit_cohorts(vectors(), sample, ITEMS, config, refit_at=REFIT, seed=seed)
    tables = [rows.filter(pl.col("user_id").is_in(users)) for users in divided]
    members = [cohorts.members(vectors(), table, ITEMS) for table in tables]
    counts = pl.concat([cohorts.item_users(vectors(), table, ITEMS) for table in tables])
    summed = counts.group_by("cohort", "item_id").agg(pl.col("users").sum())
    return Found(pl.concat(members).sort("user_id"), popular_items(summed, REFIT))


def groups(night: Found) -> dict[str, set[str]]:
    """Tastes (from the users' names) in each cohort."""
    members = night.members.with_columns(taste=pl.col("user_id").str.slice(0, 2))
    by_cohort = members.group_by("cohort").agg("taste")
    return {cohort: set(tastes) for cohort, tastes in by_cohort.iter_rows()}


def test_users_of_one_taste_form_a_cohort_and_the_largest_cohort_comes_first() -> None:
    night = found(interactions((10, 30, 20), day=-1))
    assert groups(night) == {"cohort:0": {"u1"}, "cohort:1": {"u2"}, "cohort:2": {"u0"}}
    assert night.members["user_id"].to_list() == sorted(night.members["user_id"])


def test_a_cohort_has_the_most_popular_items_of_its_users() -> None:
    rows = interactions((10, 30, 20), day=-1)
    popular = found(rows).interactions.filter(pl.col("user_id") == "cohort:0")
    assert {item[:2] for item in popular["item_id"]} == {"t1"}
    owners = rows.filter(pl.col("user_id").str.starts_with("u1")).group_by("item_id")
    counts = owners.agg(pl.col("user_id").n_unique()).sort("user_id", "item_id", descending=True)
    assert set(popular["item_id"]) == set(counts["item_id"])
    assert popular["timestamp"].n_unique() == 1


@settings(max_examples=15)
@given(order=st.randoms(use_true_random=False), repeats=st.integers(1, 3))
def test_neither_row_order_nor_repeats_matter(order: object, repeats: int) -> None:
    rows = interactions((8, 9, 12), day=-1)
    places = list(range(rows.height)) * repeats
    order.shuffle(places)  # type: ignore[attr-defined]
    first, second = found(rows), found(rows[places])
    assert first.members.equals(second.members)
    assert first.interactions.equals(second.interactions)


@pytest.mark.parametrize("parts", [2, 5])
@pytest.mark.parametrize("most", [30, 1 << 18])
def test_parts_of_the_users_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, parts: int, most: int
) -> None:
    monkeypatch.setattr(cohorts, "_MOST_FIT_USERS", most)
    rows = pl.concat([interactions((10, 30, 20), day=-1), interactions((5, 30), day=2, seed=2)])
    whole, divided = found(rows), found(rows, parts=parts)
    assert whole.members.equals(divided.members)
    assert whole.interactions.equals(divided.interactions)


def test_the_sample_has_all_of_few_users_and_the_same_of_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = pl.Series([f"u{n}" for n in range(100)])
    assert set(sample_users(users, CohortConfig())["user_id"]) == set(users)
    monkeypatch.setattr(cohorts, "_FIT_USERS", 10)
    few = sample_users(users, CohortConfig(count=3, min_users=1))
    assert few.height == 30
    assert few.equals(sample_users(users.reverse(), CohortConfig(count=3, min_users=1)))
    assert sample_users(users, CohortConfig(count=3, min_users=2)).height == 60
    assert sample_users(users, CohortConfig(count=0)).is_empty()


@settings(max_examples=30)
@given(
    sizes=st.tuples(*[st.integers(0, 12)] * TASTES),
    count=st.integers(0, 6),
    least=st.integers(1, 10),
    seed=st.integers(0, 2**40),
)
def test_every_user_has_one_cohort_and_no_cohort_is_smaller_than_allowed(
    sizes: tuple[int, ...], count: int, least: int, seed: int
) -> None:
    night = found(interactions(sizes, day=-1), seed=seed, count=count, min_users=least)
    counts = night.members["cohort"].value_counts()
    if sum(sizes) < least or not count:
        assert night.members.is_empty()
        assert night.interactions.is_empty()
        return
    assert night.members["user_id"].n_unique() == night.members.height == sum(sizes)
    assert counts["count"].min() >= least  # type: ignore[operator]
    assert len(counts) <= count
    named = sorted(counts["cohort"], key=lambda name: int(name.split(":")[1]))
    assert named == [f"cohort:{number}" for number in range(len(named))]
    assert set(night.interactions["user_id"]) == set(named)


def test_empty_clusters_are_dissolved() -> None:
    rows = interactions((1,), day=-1)
    same = pl.concat([rows.with_columns(user_id=pl.lit(f"u{n}")) for n in range(40)])
    night = found(same, count=8, min_users=1)
    assert night.members["cohort"].unique().to_list() == ["cohort:0"]
    assert night.members.height == 40


def test_interactions_after_the_refit_move_users_between_unchanged_cohorts() -> None:
    before = interactions((10, 30, 20), day=-1)
    turned = interactions((0, 10), items_each=20, day=3).with_columns(
        user_id=pl.col("user_id").str.replace("u1", "u0")
    )
    first, second = found(before), found(pl.concat([before, turned]))
    assert first.interactions.equals(second.interactions)
    changed = first.members.join(second.members, on="user_id", suffix="_now").filter(
        pl.col("cohort") != pl.col("cohort_now")
    )
    assert set(changed["user_id"]) == {f"u0-{n:03d}" for n in range(10)}
    assert set(changed["cohort_now"]) == {"cohort:0"}


def test_a_new_user_joins_a_cohort_of_the_last_refit() -> None:
    before = interactions((10, 30, 20), day=-1)
    fresh = interactions((1,), day=2).with_columns(user_id=pl.lit("zoe"))
    members = found(pl.concat([before, fresh])).members
    assert members.filter(pl.col("user_id") == "zoe")["cohort"].to_list() == ["cohort:2"]


def test_tonights_interactions_are_fitted_if_the_refit_had_too_few_users() -> None:
    assert found(interactions((10, 30, 20), day=2)).members.height == 60


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_refit_depends_on_the_date_alone(days: int) -> None:
    dates = [dt.date(2026, 6, 1) + dt.timedelta(days=n) for n in range(90)]
    moments = [refit_moment(date, days) for date in dates]
    assert all(
        dt.timedelta(0)
        <= dt.datetime.combine(date, dt.time(), dt.UTC) - moment
        < dt.timedelta(days=days)
        for date, moment in zip(dates, moments, strict=True)
    )
    assert len(set(moments)) in (90 // days, 90 // days + 1)


def test_profiles_are_normalised_means_of_distinct_items() -> None:
    rows = interactions((1, 1), day=-1)
    unknown = rows.head(1).with_columns(item_id=pl.lit("gone"))
    profiles = user_profiles(vectors(), pl.concat([rows, rows, unknown]), ITEMS)
    assert profiles.user_ids.to_list() == ["u0-000", "u1-000"]
    owned = [ITEMS.index(item) for item in rows["item_id"][:4]]
    mean = vectors()[owned].sum(axis=0)
    np.testing.assert_allclose(profiles.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_user_with_only_zero_vectors_has_no_profile() -> None:
    blank = np.zeros_like(vectors())
    profiles = user_profiles(blank, interactions((2, 2)), ITEMS)
    assert (len(profiles.user_ids), profiles.vectors.shape) == (0, (0, 8))
