"""The taste of a user is the most frequent value of a column in the history."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.tastes import item_values, tastes_of
from tests.small_world import write_catalogue

GENRES = ["Drama, War", "Comedy", "Drama, War", "Comedy", "Drama, War"]
SERVED = pl.DataFrame(
    {"user_id": ["ann", "bea"], "history_ids": [["i00", "i02", "i01"], ["i01", "i03", "i04"]]}
)


def with_column(folder: Path, name: str, values: list[str | None]) -> Catalogue:
    """Five items with a further column."""
    items = write_catalogue(folder, len(values))
    pl.read_parquet(items).with_columns(pl.Series(name, values)).write_parquet(items)
    return load_catalogue(items)


@pytest.mark.parametrize("column", ["genres", "mood", "Main genre", "value", "user_id"])
@pytest.mark.parametrize("separator", [", ", "|"])
def test_every_value_of_any_column_counts(tmp_path: Path, column: str, separator: str) -> None:
    values: list[str | None] = [value.replace(", ", separator) for value in GENRES]
    films = with_column(tmp_path, column, values)
    assert tastes_of(SERVED, films, column) == {"ann": "Drama", "bea": "Comedy"}
    assert tastes_of(SERVED, films, "style") == {}
    assert tastes_of(SERVED, films, None) == {}


def test_any_column_that_every_catalogue_has_may_be_a_taste(tmp_path: Path) -> None:
    films = with_column(tmp_path, "genres", list(GENRES))
    assert tastes_of(SERVED, films, "category") == {"ann": "things", "bea": "things"}
    assert tastes_of(SERVED, films, "item_id") == {"ann": "i00", "bea": "i01"}


@pytest.mark.parametrize(
    ("values", "separator", "expected"),
    [
        (["Eco, Umberto", "Ann"], None, [("i00", "Eco"), ("i00", "Umberto"), ("i01", "Ann")]),
        (["Eco, Umberto", "Ann"], "", [("i00", "Eco, Umberto"), ("i01", "Ann")]),
        # Where a column has bars, a comma is a part of a value.
        (
            ["Eco, Umberto", "Ann|Bea"],
            None,
            [("i00", "Eco, Umberto"), ("i01", "Ann"), ("i01", "Bea")],
        ),
        (["a / b", " / a/a/"], "/", [("i00", "a"), ("i00", "b"), ("i01", "a")]),
        ([None, ""], None, []),
        (["10,000 leagues", None], None, [("i00", "10,000 leagues")]),
    ],
)
def test_values_of_one_item(
    tmp_path: Path,
    values: list[str | None],
    separator: str | None,
    expected: list[tuple[str, str]],
) -> None:
    found = item_values(with_column(tmp_path, "author", values), "author", separator)
    assert found.rows() == expected
    assert found.schema == {"item_id": pl.String(), "value": pl.String()}
