"""Both forms of MovieLens give the same tables; rows that cannot be used are left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.movielens import (
    FILM_SCHEMA,
    RATING_SCHEMA,
    has_ratings,
    read_movielens,
)
from pigeon_rec.errors import CatalogueError, InteractionError
from tests.data.films import INTER, ITEM, MOVIES, RATINGS, write_atomic, write_csv


def test_films_of_csv_files(tmp_path: Path) -> None:
    films = read_movielens(write_csv(tmp_path)).films
    assert films.schema == FILM_SCHEMA
    assert films.rows() == [
        ("1", "Toy Story (1995)", 1995, "Adventure, Animation, Children", "0114709", "862"),
        ("2", "The Matrix (1999)", 1999, "Action, Sci-Fi", "0133093", "603"),
        ("3", "The American President (1995)", 1995, "Comedy, Drama, Romance", "0112346", None),
        ("4", "Untitled", None, "", None, None),
        ("5", "2001: A Space Odyssey (1968)", 1968, "Sci-Fi", None, None),
    ]


def test_films_of_atomic_files(tmp_path: Path) -> None:
    films = read_movielens(write_atomic(tmp_path)).films
    assert films.schema == FILM_SCHEMA
    assert films.select("item_id", "title", "year", "genres").rows() == [
        ("1", "Toy Story (1995)", 1995, "Animation, Children's, Comedy"),
        ("2", "The Matrix (1999)", 1999, "Action, Sci-Fi"),
        ("3", "Nobody Knows", None, ""),
    ]
    assert films["imdb_id"].null_count() == films["tmdb_id"].null_count() == 3


@pytest.mark.parametrize(("write", "count"), [(write_csv, 5), (write_atomic, 2)])
def test_ratings_keep_value_and_time(
    tmp_path: Path, write: Callable[[Path], Path], count: int
) -> None:
    ratings = read_movielens(write(tmp_path)).ratings()
    assert ratings.schema == RATING_SCHEMA
    assert ratings.height == count
    assert ratings.row(0) == ("7", "1", 5.0, 1_000_000_000)


def test_links_and_ratings_in_atomic_files_may_be_missing(tmp_path: Path) -> None:
    folder = write_csv(tmp_path / "csv")
    (folder / "links.csv").unlink()
    assert read_movielens(folder).films["imdb_id"].null_count() == 5
    bare = "user_id:token\titem_id:token\ttimestamp:float\n7\t1\t5\n"
    unrated = read_movielens(write_atomic(tmp_path / "atomic", inter=bare))
    assert unrated.ratings().rows() == [("7", "1", None, 5)]
    assert not has_ratings(unrated)
    assert has_ratings(read_movielens(folder))


def test_the_data_set_of_recbole_is_read_whole() -> None:
    from pigeon_rec.demo.films import bundled_movielens

    data = read_movielens(bundled_movielens())
    assert (data.films.height, data.ratings().height) == (1682, 100_000)
    assert data.films.filter(pl.col("year").is_null())["title"].to_list() == ["unkonwn"]
    assert data.films.row(0)[:4] == (
        "1", "Toy Story (1995)", 1995, "Animation, Children's, Comedy",
    )  # fmt: skip


@pytest.mark.parametrize(
    "row", ["9,1,4,-5", ",1,4,5", "9,,4,5", "9,1,4,soon", "9,1,4,253402300800"]
)
def test_unusable_ratings_are_left_out(tmp_path: Path, row: str) -> None:
    data = read_movielens(write_csv(tmp_path, ratings=f"{RATINGS}{row}\n"))
    assert data.ratings().height == 5


def test_a_film_without_title_has_its_id(tmp_path: Path) -> None:
    assert read_movielens(write_csv(tmp_path, movies=MOVIES + "6,,Drama\n")).films.row(5)[:2] == (
        "6", "6",
    )  # fmt: skip


def test_other_encodings_and_newlines_are_read(tmp_path: Path) -> None:
    folder = write_csv(tmp_path)
    text = MOVIES.replace("Untitled", "Amélie (2001)").replace("\n", "\r\n")
    (folder / "movies.csv").write_bytes(text.encode("latin-1"))
    films = read_movielens(folder).films
    assert (films.height, films["title"][3]) == (5, "Amélie (2001)")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"movies": "id,title,genres\n1,A,B\n"}, "no column is named movieId; .*id, title, genres"),
        ({"movies": ""}, "movies.csv"),
    ],
)
def test_faults_of_csv_files_are_named(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(CatalogueError, match=message):
        read_movielens(write_csv(tmp_path, **changes))


def test_faults_of_atomic_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="movie_title or title"):
        read_movielens(write_atomic(tmp_path, item=ITEM.replace("movie_title", "words")))
    timeless = write_atomic(tmp_path, inter=INTER.replace("timestamp", "length"))
    with pytest.raises(InteractionError, match="no column holds the time"):
        read_movielens(timeless).ratings()


def test_a_folder_without_one_data_set_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"neither movies\.csv nor an \.item"):
        read_movielens(tmp_path / "nowhere")
    write_atomic(tmp_path)
    (tmp_path / "other.item").write_text(ITEM, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"found ml\.item, other\.item.*movies\.csv"):
        read_movielens(tmp_path)
