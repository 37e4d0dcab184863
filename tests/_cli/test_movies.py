"""`pigeon-rec import movielens|made-posters|demo-movies`, and a whole night over the demo set."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from PIL import Image

from pigeon_rec.data.made_posters import made_style
from pigeon_rec.warehouse import ask
from tests.data.films import write_csv

Pigeon = Callable[..., Any]


def test_posters_are_made_and_imported(pigeon: Pigeon, tmp_path: Path) -> None:
    source, made, out = write_csv(tmp_path / "ml"), tmp_path / "made", tmp_path / "out"
    drawn = json.loads(pigeon("import", "made-posters", source, "--out", made, "--json").out)
    assert drawn == {"made_posters": 5, "folder": str(made)}
    (made / "4.png").unlink()
    outcome = pigeon("import", "movielens", source, "--posters", made, "--out", out, "--json")
    summary = json.loads(outcome.out)
    assert (summary["items"]["items"], summary["made_posters"]) == (4, 4)
    assert summary["items"]["problems"] == {"image_missing": 1}
    assert summary["items"]["first_problems"][0]["subject"] == "4"
    assert pl.read_parquet(summary["items"]["path"]).height == 4
    assert (summary["interactions"]["kept"], summary["interactions"]["low_rated"]) == (4, 1)
    shown = pigeon("import", "movielens", source, "--posters", made, "--out", out)
    assert "imported the films" in shown.out
    assert "imported the ratings" in shown.out


def test_a_wrong_name_and_a_missing_data_set_are_reported(pigeon: Pigeon, tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "ml"), tmp_path / "out"
    wrong = pigeon(
        "import", "movielens", source, "--posters", source, "--out", out, "--names", "title"
    )
    assert wrong.code == 2
    assert "item or imdb or tmdb" in wrong.err
    lost = pigeon("import", "made-posters", tmp_path, "--out", out)
    assert lost.code == 3
    assert "movies.csv" in lost.err
    assert not out.exists()


def test_the_demo_set_says_what_it_is(pigeon: Pigeon, tmp_path: Path) -> None:
    styles = ("--styles", "noir, comic,flat,swiss")
    outcome = pigeon("import", "demo-movies", "--out", tmp_path, "--films", "9", *styles, "--json")
    summary = json.loads(outcome.out)
    assert (summary["films"], summary["styles"], summary["posters"]) == (9, 4, 36)
    assert summary["users"] > 50
    text = Path(summary["config"]).read_text(encoding="utf-8")
    assert "made posters" in text
    assert yaml.safe_load(text)["scenario"] == "movie"
    items = pl.read_parquet(summary["catalogue"])
    assert set(items["style"]) == {"made-noir", "made-comic", "made-flat", "made-swiss"}
    for uri, style in items.select("image_uri", "style").iter_rows():
        assert made_style((tmp_path / uri).read_bytes()) == style
    chosen = pl.read_parquet(summary["interactions"])
    assert set(chosen["item_id"]) <= set(items.filter(~pl.col("held_out"))["item_id"])


def test_posters_may_be_of_one_style(pigeon: Pigeon, tmp_path: Path) -> None:
    source, made = write_csv(tmp_path / "ml"), tmp_path / "made"
    pigeon("import", "made-posters", source, "--out", made, "--styles", "neon", "--json")
    assert {made_style(file.read_bytes()) for file in made.iterdir()} == {"made-neon"}
    wrong = pigeon("import", "made-posters", source, "--out", made, "--styles", "neon,baroque")
    assert wrong.code == 2
    assert "no poster style 'baroque'" in wrong.err


def size_of(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a busy machine needs many minutes
def test_a_night_over_the_demo_set_serves_posters(pigeon: Pigeon, tmp_path: Path) -> None:
    made = pigeon("import", "demo-movies", "--out", tmp_path, "--films", "30", "--json")
    config = Path(json.loads(made.out)["config"])
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings |= {
        "recommender": {"epochs": 1, "top_k": 5},
        "plan": {"max_assets": 12, "shards": 1, "cohorts": {"count": 2, "references": 1}},
        "generation": {"mask_ratios": [0.1], "diffusion_steps": 2},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    night = pigeon("nightly", "run", "--config", config, "--date", "1998-04-30", "--json")
    assert night.code == 0, night.err
    summary = json.loads(night.out)
    assert summary["planned"] == 12
    assert summary["served"] + summary["rejected"] == 12
    assert summary["served"] > 6

    serving = Path(summary["snapshot"])
    assets = ask(serving, "SELECT image, width, height FROM assets")
    assert assets.height >= summary["served"]
    for data, *recorded in assets.iter_rows():
        assert tuple(recorded) == size_of(data) == (64, 96)
    user, item = ask(
        serving,
        "SELECT user_id, item_id FROM served_assets WHERE user_id NOT LIKE 'cohort:%' ORDER BY ALL",
    ).row(0)
    found = ask(serving, f"SELECT origin, image FROM asset_for('{user}', '{item}')")
    assert found["origin"].to_list() == ["own"]
    assert size_of(found["image"][0]) == (64, 96)

    page = Path(summary["gallery"]).read_text(encoding="utf-8")
    assert page.count("<img ") == len(re.findall(r'width="64" height="96"', page)) > 12
    assert "made-" in page
