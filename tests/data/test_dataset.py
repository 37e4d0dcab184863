"""A catalogue with its users, from the package and from files."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.dataset import Dataset, load_dataset, read_held_out, write_held_out
from pigeon_rec.data.settings import DataSettings
from pigeon_rec.data.world import load_world
from pigeon_rec.errors import CatalogueError, ConfigError
from pigeon_rec.runtime.settings import check_settings
from tests.shapes import Shapes, write_shapes


def load(shapes: Shapes, **settings: str) -> Dataset:
    files = {"catalogue": str(shapes.catalogue), "interactions": str(shapes.interactions)}
    return load_dataset(DataSettings(**files, **settings))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    return write_shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Shapes:
    """The same without columns for style and concept."""
    return write_shapes(tmp_path_factory.mktemp("plain"), columns=())


def test_the_bundled_stickers_are_what_their_world_says() -> None:
    data, world = load_dataset(), load_world("bundled")
    assert data.world is world
    assert data.lacking == {}
    assert set(data.held_out_items().select("style", "concept").rows()) == world.held_out_pairs()
    assert data.style_descriptions == world.style_descriptions
    users = data.case_users()
    assert users.interactions.schema == data.interactions.schema
    assert not set(users.interactions["user_id"]) & set(data.interactions["user_id"])


def test_a_catalogue_with_columns_has_styles_and_concepts(shapes: Shapes) -> None:
    data = load(shapes)
    assert data.lacking == {}
    assert data.style_descriptions == {"flat": "flat", "line": "line", "pale": "pale"}
    assert data.items["concept"].n_unique() == 24
    held_out = data.held_out_items()
    assert 0 < held_out.height < 20
    known = set(data.training_items().select("style", "concept").rows())
    assert not known & set(held_out.select("style", "concept").rows())
    assert set(held_out["concept"]) <= {concept for _, concept in known}


def test_without_columns_it_says_why_there_are_none(plain: Shapes) -> None:
    data = load(plain)
    assert data.lacking == {
        "style": "the catalogue has no column `style`",
        "concept": "the catalogue has no column `concept`",
    }
    assert data.items["style"].null_count() == len(data.catalogue)
    assert 0 < data.held_out_items().height <= 20


def test_a_column_must_tell_items_apart(plain: Shapes, tmp_path: Path) -> None:
    items = pl.read_parquet(plain.catalogue)
    own = items.with_columns(
        style=pl.when(pl.int_range(pl.len()) < 3).then(pl.lit("rare")).otherwise(pl.lit(" flat ")),
        concept=pl.col("item_id"),
    )
    own.write_parquet(tmp_path / "items.parquet")
    data = load(Shapes(tmp_path / "items.parquet", plain.interactions))
    assert data.lacking == {
        "style": "column `style` has not two values of at least 4 items each",
        "concept": "column `concept` has not two values of at least 2 items each",
    }


def test_items_of_a_rare_style_have_none(shapes: Shapes, tmp_path: Path) -> None:
    few = pl.int_range(pl.len()).is_in([0, 1, 2])
    style = pl.when(few).then(pl.lit("rare")).otherwise("style")
    rare = pl.read_parquet(shapes.catalogue).with_columns(style=style)
    rare.write_parquet(tmp_path / "items.parquet")
    data = load(Shapes(tmp_path / "items.parquet", shapes.interactions))
    assert data.items["style"][:4].to_list() == [None, None, None, "flat"]


def test_another_taste_column_can_be_named(shapes: Shapes) -> None:
    data = load(shapes, taste="category", group_by="title")
    assert set(data.items["style"]) == {"round", "angular"}
    assert data.items["concept"].n_unique() == 24
    with pytest.raises(ConfigError, match=r"no text column 'mood'.*It has item_id, title"):
        load(shapes, taste="mood")


@pytest.fixture
def looks(shapes: Shapes, tmp_path: Path) -> Shapes:
    """The same with a column `look` for the style, and genres."""
    genre = pl.when(pl.col("category") == "round").then(pl.lit("Comedy|Drama"))
    items = pl.read_parquet(shapes.catalogue).rename({"style": "look"})
    items.with_columns(genres=genre.otherwise(pl.lit("Horror"))).write_parquet(
        tmp_path / "items.parquet"
    )
    return Shapes(tmp_path / "items.parquet", shapes.interactions)


def test_what_the_instruction_names_is_a_style_only_by_name(looks: Shapes) -> None:
    """A genre says what a film is about, and not how its poster looks."""
    films = load(looks, scenario="movie")
    assert films.prompt.taste == "genres"
    assert films.lacking == {"style": "the catalogue has no column `style`"}
    assert set(load(looks, scenario="movie", taste="genres").items["style"]) == {"Comedy", "Horror"}


def test_the_taste_column_of_a_scenario_is_a_style(looks: Shapes, tmp_path: Path) -> None:
    own = tmp_path / "badge.yaml"
    words = "task: Draw.\ninput: In\ntarget: 'Draw {title}'\nresponse: Out\n"
    own.write_text(f"{words}taste: look\n", "utf-8")
    assert set(load(looks, scenario=str(own)).items["style"]) == {"flat", "line", "pale"}
    own.write_text(f"{words}taste: null\n", "utf-8")
    assert "style" in load(looks, scenario=str(own)).lacking


def test_a_scenario_must_find_the_columns_of_its_texts(looks: Shapes, tmp_path: Path) -> None:
    own = tmp_path / "badge.yaml"
    own.write_text("task: Draw.\ninput: In\ntarget: 'Draw {mood}'\nresponse: Out\n", "utf-8")
    with pytest.raises(ConfigError, match=r"names \{mood\}"):
        load(looks, scenario=str(own))


def test_without_a_group_column_there_are_no_groups(shapes: Shapes) -> None:
    settings = DataSettings(
        catalogue=str(shapes.catalogue), interactions=str(shapes.interactions), group_by=None
    )
    assert load_dataset(settings).lacking == {"concept": "the settings name no column for it"}


def test_users_prefer_the_style_of_most_of_their_items(shapes: Shapes) -> None:
    data = load(shapes)
    users = data.case_users()
    tastes = dict(users.tastes.select("user_id", "preferred_style").iter_rows())
    assert tastes == {f"u{user}": ("flat", "line", "pale")[user % 3] for user in range(18)}
    assert users.tastes["second_style"].null_count() == 18
    assert users.end > data.interactions["timestamp"].max()  # type: ignore[operator]


def test_histories_for_training_and_cases_hold_nothing_held_out(plain: Shapes) -> None:
    data = load(plain)
    hidden = set(data.held_out_items()["item_id"])
    users = data.case_users()
    assert not hidden & set(users.interactions["item_id"])
    assert users.chosen.height
    assert set(users.chosen["item_id"]) <= hidden
    assert users.interactions.equals(data.training_interactions())


def test_a_user_counts_once_for_an_item(plain: Shapes, tmp_path: Path) -> None:
    rows = pl.read_parquet(plain.interactions)
    later = rows.with_columns(pl.col("timestamp").dt.offset_by("90d"))
    pl.concat([rows, later]).write_parquet(tmp_path / "twice.parquet")
    twice = load(Shapes(plain.catalogue, tmp_path / "twice.parquet"))
    once = load(plain)
    assert twice.training_interactions().height == once.training_interactions().height
    assert twice.training_interactions()["timestamp"].min() >= later["timestamp"].min()  # type: ignore[operator]


def test_a_written_list_holds_whatever_the_catalogue_has_become(
    shapes: Shapes, tmp_path: Path
) -> None:
    data = load(shapes)
    write_held_out(data, tmp_path / "held_out.csv")
    listed = read_held_out(tmp_path / "held_out.csv").to_list()
    assert listed == data.held_out_items()["item_id"].to_list()
    fewer = pl.read_parquet(shapes.catalogue).filter(pl.col("item_id") != listed[0])
    fewer.with_columns(pl.lit("one").alias("concept")).write_parquet(tmp_path / "items.parquet")
    settings = DataSettings(
        catalogue=str(tmp_path / "items.parquet"), interactions=str(shapes.interactions)
    )
    again = load_dataset(settings, held_out=tmp_path / "held_out.csv")
    assert again.held_out_items()["item_id"].to_list() == listed[1:]
    with pytest.raises(CatalogueError, match="held-out list"):
        load_dataset(settings, held_out=tmp_path / "nowhere.csv")


def test_a_catalogue_of_ones_own_needs_its_users() -> None:
    with pytest.raises(ConfigError, match="needs `interactions` of its own"):
        check_settings(DataSettings, {"catalogue": "items.parquet"}, "options")
