"""Texts of requests are those of the scenario's template."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.texts import described_texts, history_texts, target_texts
from pigeon_rec.errors import ConfigError
from tests.small_world import write_catalogue


@pytest.fixture
def films(tmp_path: Path) -> Catalogue:
    """Five items with genres."""
    items = write_catalogue(tmp_path, 5)
    genres = pl.Series("genres", ["Drama, War", "Comedy", "Drama, War", "Comedy", "Drama, War"])
    pl.read_parquet(items).with_columns(genres).write_parquet(items)
    return load_catalogue(items)


def test_texts_are_those_of_the_template(films: Catalogue) -> None:
    prompt = load_prompt("movie")
    rows = films.rows(["i01", "i00"])
    assert target_texts(prompt, rows) == [
        prompt.target("Title i01", "a picture of i01", "things", "Comedy"),
        prompt.target("Title i00", "a picture of i00", "things", "Drama, War"),
    ]
    assert target_texts(prompt, rows.drop("genres"))[0] == prompt.target(
        "Title i01", "a picture of i01", "things"
    )
    texts = history_texts(prompt, films, [["i02", "i00"], ["i02"]])
    assert texts == [["Title i02:", "Title i00:"], ["Title i02:"]]
    assert history_texts(load_prompt("sticker"), films, [["i02"]]) is None


def test_an_item_without_semantics_is_scored_against_its_title(films: Catalogue) -> None:
    rows = films.rows(["i01", "i00"])
    silent = rows.with_columns(semantics=pl.Series(["", "a picture of i00"]))
    assert described_texts(silent) == ["Title i01", "a picture of i00"]


def test_texts_may_name_any_text_column(films: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "{task: Draw., input: 'Input:', response: 'Response:', history: '{title} by {director}:',"
        " target: '{title} by {director}: {genres}'}"
    )
    prompt = load_prompt(str(tmp_path / "own.yaml"))
    with pytest.raises(ConfigError, match=r"names \{director\}"):
        target_texts(prompt, films.items)
    with pytest.raises(ConfigError, match=r"names \{director\}"):
        history_texts(prompt, films, [["i00"]])
    directors = pl.Series("director", ["A|B", None, "C", "D", "E"])
    directed = Catalogue(films.items.with_columns(directors), films.root)
    assert target_texts(prompt, directed.rows(["i01", "i00"])) == [
        "Title i01 by : Comedy",
        "Title i00 by A, B: Drama, War",
    ]
    assert history_texts(prompt, directed, [["i02"], []]) == [["Title i02 by C:"], []]
