"""A scenario from a folder of the user's own, through a whole night with tiny random weights."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from safetensors.torch import save_file

from pigeon_rec.config import load_config
from pigeon_rec.errors import ConfigError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import plan_night, recommend
from pigeon_rec.nightly.run import run_night
from pigeon_rec.scoring.scorer import ImageTextEncoder, ScorerConfig
from pigeon_rec.warehouse import ask
from tests.model.tiny import tiny_pipeline
from tests.small_world import NIGHT, write_catalogue, write_interactions

ITEMS = [f"i{number:02d}" for number in range(10)]
HISTORIES = {"ann": ITEMS[:6], "bea": ITEMS[3:9], "cem": ITEMS[2:8]}
SCENARIO = {
    "task": "Draw a new cover of one book for this person.",
    "input": "Input:",
    "history": "{title} by {author}:",
    "target": "The cover of {title} by {author}.",
    "response": "Response:",
    "aspect": "2:3",
    "picture": "couverture",
    "taste": "author",
    "separator": "",
}
SETTINGS: dict[str, Any] = {
    "catalogue": "items.parquet",
    "interactions": "interactions.parquet",
    "recommendations": "top.parquet",
    "model": "model",
    "work_dir": "var",
    "plan": {"shards": 1, "max_assets": 3, "max_assets_per_user": 1, "cohorts": {"count": 0}},
    "generation": {"mask_ratios": [0.0, 0.5], "diffusion_steps": 2, "top_k": 8},
    # Random weights draw nothing that a gate would let pass.
    "gate": {"min_text_score": -1.0, "min_pixel_std": 0.0, "max_reference_similarity": 1.1},
}


def write_model(folder: Path) -> None:
    """A tiny model and scorer of random weights."""
    tiny_pipeline().save_pretrained(folder)
    sizes = ScorerConfig(
        image_size=16, patch=8, width=16, layers=1, heads=2, text_vocabulary=280, text_layers=1,
        embedding=8,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = ImageTextEncoder(sizes).state_dict()
    (folder / "scorer").mkdir()
    (folder / "scorer" / "config.json").write_text(sizes.model_dump_json(), encoding="utf-8")
    save_file(weights, folder / "scorer" / "model.safetensors")


def write_night(folder: Path, scenario: str, **facts: object) -> Path:
    """Writes `folder/night.yaml` with absolute paths of all tables, and the scenario beside it."""
    (folder / "scenarios").mkdir(exist_ok=True)
    text = yaml.safe_dump(SCENARIO | facts, allow_unicode=True)
    (folder / "scenarios" / "livre.yaml").write_text(text, encoding="utf-8")
    places = {name: str(folder / SETTINGS[name]) for name in list(SETTINGS)[:5]}
    night = SETTINGS | places | {"scenario": scenario}
    (folder / "night.yaml").write_text(yaml.safe_dump(night), encoding="utf-8")
    return folder / "night.yaml"


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a catalogue of books, interactions, recommendations and a model."""
    folder = tmp_path_factory.mktemp("books")
    items = write_catalogue(folder, len(ITEMS))
    authors = pl.Series("author", ["Woolf, Virginia", None, "Eco, Umberto"] + ["Eco, Umberto"] * 7)
    pl.read_parquet(items).with_columns(authors.cast(pl.Categorical)).write_parquet(items)
    write_interactions(folder / "interactions.parquet", HISTORIES)
    pairs = [(user, ITEMS[9], 1.0) for user in HISTORIES]
    columns = ["user_id", "item_id", "score"]
    pl.DataFrame(pairs, columns, orient="row").write_parquet(folder / "top.parquet")
    write_model(folder / "model")
    return folder


def planned(config_file: Path) -> dict[str, str]:
    """Plans the night and returns user -> asset key."""
    config = load_config(config_file)
    recommend(config, NIGHT)
    plan_night(config, NIGHT)
    plan = pl.read_parquet(NightPaths.of(config, NIGHT).plan)
    return dict(plan.select("user_id", "asset_key").iter_rows())


def words_of(page: Path) -> str:
    """A gallery page without its style sheet."""
    return re.sub(r"<style>.*?</style>", "", page.read_text("utf-8"), flags=re.S)


def test_a_night_of_a_scenario_of_the_users_own(
    books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(books, folder)
    monkeypatch.chdir(tmp_path)  # the path of a scenario does not depend on the current folder
    config = load_config(write_night(folder, "scenarios/livre.yaml"))
    night = run_night(config, NIGHT)
    assert (night.drawn, night.published.served) == (3, 3)
    paths = NightPaths.of(config, NIGHT)
    drawn = ask(paths.serving, "SELECT DISTINCT width, height FROM assets").rows()
    assert drawn == [(16, 24)]
    recorded = ask(paths.serving, "SELECT config->>'scenario' FROM runs").item()
    assert recorded == "livre"
    page = words_of(paths.gallery)
    for said in ("One couverture, several tastes", "couvertures served", "Eco, Umberto</span>"):
        assert said in page
    assert "sticker" not in page
    # Other words on the page change no picture.
    words = {"picture": "livre", "taste": None, "label": "category"}
    again = run_night(load_config(write_night(folder, "scenarios/livre.yaml", **words)), NIGHT)
    assert (again.drawn, again.published.served) == (0, 3)
    assert "One livre, several users" in words_of(paths.gallery)


def test_a_scenario_is_its_content_and_its_name(books: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(books, folder)
    keys = planned(write_night(folder, "scenarios/livre.yaml"))
    assert set(keys) == set(HISTORIES)
    for name in ("livre", "other"):
        copy = tmp_path / f"{name}.yaml"
        copy.write_bytes((folder / "scenarios" / "livre.yaml").read_bytes())
        assert (planned(write_night(folder, str(copy))) == keys) == (name == "livre")
    for change in ({"task": "Draw."}, {"history": "{title}:"}, {"target": "{title}."}):
        other = planned(write_night(folder, "scenarios/livre.yaml", **change))
        assert set(other.values()).isdisjoint(keys.values())


def test_a_column_that_the_catalogue_lacks_stops_the_plan(books: Path, tmp_path: Path) -> None:
    shutil.copytree(books, tmp_path, dirs_exist_ok=True)
    night = write_night(tmp_path, "scenarios/livre.yaml", target="{title} of {publisher}")
    with pytest.raises(ConfigError, match=r"'livre' names \{publisher\}.*items\.parquet.*author"):
        planned(night)


def test_a_scenario_that_is_not_beside_the_settings_is_named(books: Path, tmp_path: Path) -> None:
    shutil.copytree(books, tmp_path, dirs_exist_ok=True)
    missing = write_night(tmp_path, "scenarios/film.yaml")
    with pytest.raises(ConfigError, match=rf"no scenario .*{tmp_path}/scenarios/film.yaml"):
        planned(missing)
