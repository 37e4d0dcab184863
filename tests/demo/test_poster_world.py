"""The poster world: every film in every style, held-out pairs, users who prefer styles."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.movielens import read_movielens
from pigeon_rec.data.sequences import make_sequences
from pigeon_rec.data.world import SimulatedUsers, World, load_world, topics
from pigeon_rec.demo import poster_world
from pigeon_rec.demo.film_catalogue import HELD_OUT_SHARE, film_pairs, most_rated
from pigeon_rec.demo.film_users import film_users, is_test_user
from pigeon_rec.demo.films import bundled_movielens
from pigeon_rec.demo.posters import STYLES

FILMS = 12


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of its own, and a world of few films."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIGEON_CACHE_DIR", str(folder))
        patch.setattr(poster_world, "FILMS", FILMS)
        patch.setattr(poster_world, "MIN_FILMS", 6)
        yield folder


@pytest.fixture(scope="module")
def world(cache: Path) -> World:
    return load_world("posters")


@pytest.fixture(scope="module")
def simulated() -> SimulatedUsers:
    """The users of 200 films, without pictures."""
    data = most_rated(read_movielens(bundled_movielens()), 200)
    return film_users(data.ratings(), film_pairs(data.films, tuple(STYLES)))


def test_films_and_styles_are_a_grid(world: World) -> None:
    rows = world.artwork()
    pairs = Counter(rows.select("style", "concept").iter_rows())
    assert set(pairs.values()) == {1}
    assert len(pairs) == FILMS * len(STYLES)
    assert rows["item_id"].to_list() == [f"{style}/{concept}" for style, concept in sorted(pairs)]
    assert set(rows["style"]) == set(world.style_descriptions) == {f"made-{s}" for s in STYLES}
    assert topics(rows).null_count() == 0
    for data in rows["image"].gather_every(17):
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("WEBP", poster_world.SIZE)


def test_some_pairs_are_held_out(world: World) -> None:
    rows, held_out = world.artwork(), world.held_out_pairs()
    assert set(rows.filter("held_out").select("style", "concept").iter_rows()) == held_out
    assert len(held_out) / rows.height == pytest.approx(HELD_OUT_SHARE, abs=0.03)
    assert max(Counter(concept for _, concept in held_out).values()) <= 3
    assert len({style for style, _ in held_out}) == len(STYLES)


def test_it_is_drawn_once(world: World, cache: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert load_world("posters").catalogue == world.catalogue
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before
    assert sorted(path.name for path in world.catalogue.parent.iterdir()) == [
        "held_out.csv", "items.parquet", "posters.inter", "posters.item", "posters.user",
    ]  # fmt: skip


def test_drawing_it_again_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    poster_world.build(tmp_path, FILMS, on_poster=lambda *n: reports.append(n))
    for path in world.catalogue.parent.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert reports[-1] == (FILMS * len(STYLES), FILMS * len(STYLES))


def test_a_night_reads_it_by_its_name(world: World) -> None:
    catalogue = load_catalogue("posters")
    assert catalogue.items["item_id"].equals(world.artwork()["item_id"])
    rows, problems = load_interactions("posters", catalogue)
    assert problems == []
    assert make_sequences(rows).height > 300


def test_held_out_pairs_are_never_chosen(world: World) -> None:
    held_out = set(world.artwork().filter("held_out")["item_id"])
    trained = load_interactions("posters", load_catalogue("posters"))[0]
    tested = world.test_users().interactions
    assert held_out.isdisjoint(trained["item_id"])
    assert held_out.isdisjoint(tested["item_id"])


def test_test_users_are_others(world: World) -> None:
    trained = set(load_interactions("posters", load_catalogue("posters"))[0]["user_id"])
    tested = world.test_users()
    assert trained.isdisjoint(tested.users["user_id"])
    assert tested.users["user_id"].to_list() == sorted(set(tested.interactions["user_id"]))
    assert 0.15 < tested.users.height / (tested.users.height + len(trained)) < 0.25
    assert set(tested.users["preferred_style"]) == set(world.style_descriptions)
    assert tested.interactions["timestamp"].max() < tested.end.timestamp()  # type: ignore[operator]


def test_films_are_real_and_styles_follow_preferences(simulated: SimulatedUsers) -> None:
    liked = read_movielens(bundled_movielens()).ratings().filter(pl.col("rating") >= 4)
    rows = simulated.interactions.join(simulated.users, on="user_id").with_columns(
        pl.col("item_id").str.split("/").list.first().alias("style")
    )
    assert rows.height < liked.height
    per_user = rows.group_by("user_id").agg(pl.len(), pl.col("item_id").n_unique().alias("items"))
    assert per_user["len"].min() >= 6  # type: ignore[operator]
    assert (per_user["len"] == per_user["items"]).all()
    single = rows.filter(pl.col("second_style").is_null())
    clean = (single["style"] == single["preferred_style"]).mean()
    noise = single.select(pl.col("noise_rate").mean()).item()
    # A held-out pair of the preferred style goes elsewhere, a noisy choice may hit it by chance.
    expected = (1 - HELD_OUT_SHARE) * (1 - noise * (1 - 1 / len(STYLES)))
    assert clean == pytest.approx(expected, abs=0.04)


def test_some_users_have_a_second_style(simulated: SimulatedUsers) -> None:
    double = simulated.users.filter(pl.col("second_style").is_not_null())
    assert 0.1 < double.height / simulated.users.height < 0.2
    assert (double["second_style"] != double["preferred_style"]).all()
    counts = simulated.users["preferred_style"].value_counts()["count"]
    assert counts.is_between(80, 150).all()
    assert simulated.users["favourite_topics"].list.len().is_between(1, 3).all()


def test_a_user_does_not_depend_on_the_others(simulated: SimulatedUsers) -> None:
    data = most_rated(read_movielens(bundled_movielens()), 200)
    some = data.ratings().filter(pl.col("user_id").is_in(["7", "13", "94"]))
    again = film_users(some, film_pairs(data.films, tuple(STYLES)))
    expected = simulated.users.filter(pl.col("user_id").is_in(["7", "13", "94"]))
    assert again.users.equals(expected)


def test_one_style_has_no_held_out_pairs() -> None:
    films = most_rated(read_movielens(bundled_movielens()), 20).films
    for styles in (("noir",), ("noir", "flat", "comic")):
        assert not any(pair.held_out for pair in film_pairs(films, styles))


def test_films_of_one_name_are_told_apart() -> None:
    films = pl.DataFrame(
        {
            "item_id": ["1", "2", "3", "4"],
            "title": ["Emma (1996)", "Emma! (1996)", "东邪西毒", "Heat (1995)"],
            "year": [1996, 1996, 1994, 1995],
            "genres": ["Drama", "Drama", "", "Action"],
        }
    )
    names = [pair.concept for pair in film_pairs(films, ("noir",))]
    assert sorted(names) == ["3", "emma-1996", "emma-1996-2", "heat-1995"]


def test_about_a_fifth_of_the_users_are_test_users() -> None:
    tested = sum(is_test_user(str(number)) for number in range(1, 944))
    assert tested == pytest.approx(943 / 5, abs=15)
