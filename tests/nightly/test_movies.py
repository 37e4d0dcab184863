"""Nights of the movie scenario: keys, image shapes and the gallery page, without a model."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.aspect import Aspect
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import PlanSummary, plan_night, recommend
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.nightly.report import report_night
from tests.nightly.made_night import NIGHT as MADE_NIGHT
from tests.nightly.made_night import small_night
from tests.nightly.made_night import write_catalogue as write_made_catalogue
from tests.small_world import NIGHT, PixelEncoder, write_catalogue, write_interactions

ITEMS = [f"i{number:02d}" for number in range(12)]
HISTORIES = {"ann": ITEMS[:6], "bea": ITEMS[3:9]}
GENRES = pl.Series("genres", ["Drama, War", "Comedy"] * 6)


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    items = write_catalogue(tmp_path, len(ITEMS))
    pl.read_parquet(items).with_columns(GENRES).write_parquet(items)
    pairs = [(user, item, 1.0) for user in HISTORIES for item in ITEMS[10:]]
    top = tmp_path / "top.parquet"
    pl.DataFrame(pairs, ["user_id", "item_id", "score"], orient="row").write_parquet(top)
    return NightlyConfig(
        catalogue=str(items),
        interactions=str(write_interactions(tmp_path / "interactions.parquet", HISTORIES)),
        recommendations=str(top),
        work_dir=tmp_path / "var",
        scenario="movie",
    )


def planned(config: NightlyConfig) -> tuple[PlanSummary, dict[tuple[str, str], str]]:
    recommend(config, NIGHT)
    summary = plan_night(config, NIGHT, encoder=PixelEncoder(), model_version="model-1")
    plan = pl.read_parquet(NightPaths.of(config, NIGHT).plan)
    keys = plan.select("user_id", "item_id", "asset_key").rows()
    return summary, {(user, item): key for user, item, key in keys}


def renamed(config: NightlyConfig, item: str, **words: str) -> None:
    rows = pl.read_parquet(config.catalogue)
    changed = [
        pl.when(pl.col("item_id") == item).then(pl.lit(new)).otherwise(name).alias(name)
        for name, new in words.items()
    ]
    rows.with_columns(changed).write_parquet(config.catalogue)


def test_the_title_of_a_history_film_is_part_of_the_key(config: NightlyConfig) -> None:
    _, before = planned(config)
    assert len(before) == 4
    renamed(config, "i00", title="Another title")
    _, after = planned(config)
    changed = {user for (user, item), key in before.items() if after[user, item] != key}
    assert changed == {"ann"}  # the only user with this item in the history


def test_genres_of_the_target_are_part_of_the_key(config: NightlyConfig) -> None:
    _, before = planned(config)
    renamed(config, "i10", genres="Musical")
    _, after = planned(config)
    assert {item for (user, item), key in before.items() if after[user, item] != key} == {"i10"}


def test_titles_of_a_sticker_history_are_not(config: NightlyConfig) -> None:
    config = config.model_copy(update={"scenario": "sticker"})
    _, before = planned(config)
    renamed(config, "i00", title="Another title")
    assert planned(config)[1] == before


def test_the_same_files_look_different_stretched(config: NightlyConfig) -> None:
    """One cache serves both scenarios without mixing them up."""
    planned(config)
    planned(config.model_copy(update={"scenario": "sticker"}))
    cached = pl.read_parquet(NightPaths.of(config, NIGHT).embeddings)
    assert set(cached["encoder_id"]) == {"pixels-1", "pixels-1/stretched"}


def test_scenarios_have_settings_of_their_own(config: NightlyConfig) -> None:
    movies, _ = planned(config)
    stickers, _ = planned(config.model_copy(update={"scenario": "sticker"}))
    assert movies.settings_hash != stickers.settings_hash


def test_a_night_of_posters_has_a_page_of_posters(tmp_path: Path) -> None:
    catalogue = write_made_catalogue(tmp_path / "catalogue")
    genres = pl.col("style").replace({"flat": "Drama, War", "line": "Comedy"})
    pl.read_parquet(catalogue).with_columns(genres=genres).write_parquet(catalogue)
    config = NightlyConfig(work_dir=tmp_path / "var", catalogue=str(catalogue), scenario="movie")
    small_night().write(config)
    publish_night(config, MADE_NIGHT)
    promote_night(config)
    page = report_night(config, MADE_NIGHT).gallery.read_text(encoding="utf-8")
    assert "--frame: 2 / 3;" in page
    assert "One poster, several tastes" in page
    assert "posters served" in page
    # Tastes are genres, and what tells two posters of one film apart is their style.
    assert re.search(r'<h3 class="group">\s*<span [^>]*>Comedy</span>', page)
    assert 'alt="Apple (flat)"' in page
    words = re.sub(r"<style>.*?</style>|class=\"[^\"]*\"|sticker-64", "", page, flags=re.S)
    assert "sticker" not in words
    originals = re.findall(r'big reference">\s*<img src="data:image/webp;base64,([^"]+)"', page)
    assert originals
    for uri in originals:
        with Image.open(io.BytesIO(base64.b64decode(uri))) as image:
            assert image.size == Aspect(2, 3).size(64)[::-1]
    assert page.count('width="64" height="96"') == page.count("<img ")
