"""Bundled worlds by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.world import load_world, topics
from pigeon_rec.errors import CatalogueError, ConfigError

WORLD = load_world("bundled")


def test_catalogue_and_interactions_are_those_of_the_world() -> None:
    catalogue = load_catalogue("bundled")
    assert catalogue.items["item_id"].equals(WORLD.artwork()["item_id"])
    rows, problems = load_interactions("bundled", catalogue)
    assert rows.equals(load_interactions(WORLD.interactions, catalogue)[0])
    assert problems == []


def test_training_artwork_is_all_but_the_held_out_pairs() -> None:
    held_out = WORLD.held_out_pairs()
    training = set(WORLD.training_artwork().select("style", "concept").iter_rows())
    every = set(WORLD.artwork().select("style", "concept").iter_rows())
    assert training == every - held_out
    assert held_out < every


def test_every_style_is_described() -> None:
    assert set(WORLD.style_descriptions) == set(WORLD.artwork()["style"])


def test_test_users_are_simulated_before_the_end_and_like_known_styles() -> None:
    users = WORLD.test_users()
    assert users.interactions["timestamp"].max() < users.end.timestamp()  # type: ignore[operator]
    assert set(users.users["preferred_style"]) == set(WORLD.style_descriptions)


def test_a_topic_is_the_theme_or_the_emotion() -> None:
    rows = pl.DataFrame({"theme": ["animal mammal", None], "emotion": [None, "face smiling"]})
    assert topics(rows).to_list() == ["animal-mammal", "face-smiling"]


def test_an_unknown_world_is_refused_with_the_known_names() -> None:
    with pytest.raises(ConfigError, match=r"no bundled world 'films'.*Known worlds: bundled"):
        load_world("films")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    broken = replace(
        WORLD, catalogue=tmp_path / "broken.parquet", held_out=tmp_path / "missing.csv"
    )
    with pytest.raises(CatalogueError, match=r"cannot read the bundled catalogue.*broken\.parquet"):
        broken.training_artwork()
    with pytest.raises(CatalogueError, match=r"cannot read the held-out list.*missing\.csv"):
        broken.held_out_pairs()
