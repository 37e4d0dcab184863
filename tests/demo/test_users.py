"""The simulated users: reproducible, in the documented ranges, true to their preferences."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.world import SimulatedUsers, topics
from pigeon_rec.demo.stickers import WORLD
from pigeon_rec.demo.users import SimulationConfig, simulate, write_atomic
from tests.demo.truth import user_truth

FEW = SimulationConfig(users=40)


@pytest.fixture(scope="module")
def few() -> SimulatedUsers:
    return simulate(FEW, WORLD.training_artwork())


@pytest.fixture(scope="module")
def bundled() -> pl.DataFrame:
    """The bundled interactions with the sticker and the user's truth on every row."""
    catalogue = load_catalogue("bundled")
    rows, _ = load_interactions("bundled", catalogue)
    items = catalogue.items.select("item_id", "style", "concept", "category").with_columns(
        topics(catalogue.items)
    )
    return rows.join(items, on="item_id").join(user_truth(), on="user_id")


def test_the_same_seed_gives_the_same_users(few: SimulatedUsers) -> None:
    again = simulate(FEW, WORLD.training_artwork())
    assert again.interactions.equals(few.interactions)
    assert again.users.equals(few.users)


def test_another_seed_gives_other_users(few: SimulatedUsers) -> None:
    other = simulate(SimulationConfig(users=40, seed=1), WORLD.training_artwork())
    assert not other.interactions.equals(few.interactions)


def test_a_user_does_not_depend_on_the_others(few: SimulatedUsers) -> None:
    fewer = simulate(SimulationConfig(users=7), WORLD.training_artwork())
    assert fewer.users.equals(few.users.head(7))
    assert fewer.interactions.equals(few.interactions.head(fewer.interactions.height))


def test_users_can_begin_with_any_number(few: SimulatedUsers) -> None:
    last = simulate(SimulationConfig(users=3, first_user=38), WORLD.training_artwork())
    assert last.users.equals(few.users.tail(3))
    assert last.interactions.equals(few.interactions.tail(last.interactions.height))


def test_the_bundled_files_are_what_the_command_writes(few: SimulatedUsers, tmp_path: Path) -> None:
    write_atomic(few, WORLD.training_artwork(), tmp_path / "few")
    for suffix in (".inter", ".user", ".item"):
        written = (tmp_path / f"few{suffix}").read_bytes()
        bundle = WORLD.interactions.with_suffix(suffix).read_bytes()
        assert written == (bundle if suffix == ".item" else bundle[: len(written)])


def test_held_out_stickers_are_never_chosen(bundled: pl.DataFrame) -> None:
    assert WORLD.held_out_pairs().isdisjoint(bundled.select("style", "concept").iter_rows())


def test_the_numbers_of_users_and_interactions_are_as_documented(bundled: pl.DataFrame) -> None:
    per_user = bundled.group_by("user_id").agg(pl.len(), pl.col("item_id").n_unique())
    assert per_user.height >= 2000
    assert per_user["len"].is_between(15, 60).all()
    assert (per_user["len"] == per_user["item_id"]).all()


def test_times_lie_in_the_half_year_before_june(bundled: pl.DataFrame) -> None:
    first, end = datetime(2025, 12, 3, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    assert bundled["timestamp"].is_between(first, end, closed="left").all()


def test_choices_follow_the_preferred_style_but_for_the_noise(bundled: pl.DataFrame) -> None:
    single = bundled.filter(pl.col("second_style").is_null())
    clean = (single["style"] == single["preferred_style"]).mean()
    noise = single.select(pl.col("noise_rate").mean()).item()
    # A noisy choice hits the preferred style by chance in one of eight cases.
    assert clean == pytest.approx(1 - noise * (1 - 1 / len(WORLD.style_descriptions)), abs=0.01)


def test_some_users_have_a_second_style(bundled: pl.DataFrame) -> None:
    users = user_truth()
    double = users.filter(pl.col("second_style").is_not_null())
    assert 0.1 < double.height / users.height < 0.2
    assert (double["second_style"] != double["preferred_style"]).all()
    assert double["preferred_share"].is_between(0.55, 0.75).all()
    both = bundled.filter(pl.col("second_style").is_not_null())
    first = (both["style"] == both["preferred_style"]).mean()
    second = (both["style"] == both["second_style"]).mean()
    assert isinstance(first, float)
    assert isinstance(second, float)
    assert first > second > 0.2


def test_styles_are_preferred_about_equally() -> None:
    counts = user_truth()["preferred_style"].value_counts()["count"]
    assert len(counts) == len(WORLD.style_descriptions)
    assert counts.is_between(200, 300).all()


def test_favourite_topics_stand_out(bundled: pl.DataFrame) -> None:
    hits = bundled.select(pl.col("topic").is_in(pl.col("favourite_topics")).mean()).item()
    sizes = user_truth()["favourite_topics"].list.len()
    assert hits > 0.5
    assert sizes.is_between(3, 6).all()


def test_popular_stickers_take_more_than_their_share(bundled: pl.DataFrame) -> None:
    counts = bundled.group_by("concept").len()["len"].sort(descending=True).to_list()
    assert sum(counts[: len(counts) // 10]) / sum(counts) > 0.3


def test_noise_rates_are_in_their_range() -> None:
    assert user_truth()["noise_rate"].is_between(0.05, 0.30).all()


def test_only_the_given_stickers_are_chosen() -> None:
    stickers = WORLD.training_artwork().filter(pl.col("category") == "food-drink")
    made = simulate(SimulationConfig(users=3), stickers)
    assert set(made.interactions["item_id"]) <= set(stickers["item_id"])
