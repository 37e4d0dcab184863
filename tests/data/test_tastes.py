"""The taste of a user is the most frequent style or genre of the history."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.tastes import tastes_of
from tests.small_world import write_catalogue


@pytest.fixture
def films(tmp_path: Path) -> Catalogue:
    """Five items with genres."""
    items = write_catalogue(tmp_path, 5)
    genres = pl.Series("genres", ["Drama, War", "Comedy", "Drama, War", "Comedy", "Drama, War"])
    pl.read_parquet(items).with_columns(genres).write_parquet(items)
    return load_catalogue(items)


def test_every_genre_of_a_history_counts_as_taste(films: Catalogue) -> None:
    served = pl.DataFrame(
        {"user_id": ["ann", "bea"], "history_ids": [["i00", "i02", "i01"], ["i01", "i03", "i04"]]}
    )
    assert tastes_of(served, films, "genres") == {"ann": "Drama", "bea": "Comedy"}
    assert tastes_of(served, films, "style") == {}
    bars = films.items.with_columns(pl.col("genres").str.replace(", ", "|"))
    assert tastes_of(served, Catalogue(bars, films.root), "genres") == {
        "ann": "Drama", "bea": "Comedy",
    }  # fmt: skip
