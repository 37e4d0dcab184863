"""Both forms of MovieLens give the same tables; malformed rows are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.data.movielens import FILM_SCHEMA, RATING_SCHEMA, read_movielens
from pigeon_rec.errors import CatalogueError, InteractionError, PigeonError
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
    ratings = read_movielens(write(tmp_path)).ratings
    assert ratings.schema == RATING_SCHEMA
    assert ratings.height == count
    assert ratings.row(0) == ("7", "1", 5.0, 1_000_000_000)


def test_links_and_ratings_in_atomic_files_may_be_missing(tmp_path: Path) -> None:
    folder = write_csv(tmp_path / "csv")
    (folder / "links.csv").unlink()
    assert read_movielens(folder).films["imdb_id"].null_count() == 5
    bare = "user_id:token\titem_id:token\ttimestamp:float\n7\t1\t5\n"
    ratings = read_movielens(write_atomic(tmp_path / "atomic", inter=bare)).ratings
    assert ratings.rows() == [("7", "1", None, 5)]


def test_the_data_set_of_recbole_is_read_whole() -> None:
    from pigeon_rec.demo.films import bundled_movielens

    data = read_movielens(bundled_movielens())
    assert (data.films.height, data.ratings.height) == (1682, 100_000)
    assert data.films.filter(pl.col("year").is_null())["title"].to_list() == ["unkonwn"]
    assert data.films.row(0)[:4] == (
        "1", "Toy Story (1995)", 1995, "Animation, Children's, Comedy",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"movies": MOVIES + "1,Twice,Drama\n"}, CatalogueError, "repeated.*2 of 6.*row 1"),
        ({"movies": MOVIES + "../6,Out (2000),Drama\n"}, CatalogueError, r"'\.\./6'.*row 6"),
        ({"movies": MOVIES + "6,,Drama\n"}, CatalogueError, "title is empty.*row 6"),
        ({"movies": "id,title,genres\n"}, CatalogueError, "no column movieId.*movies.csv, line 1"),
        ({"movies": ""}, CatalogueError, "cannot read the file"),
        ({"ratings": RATINGS + "9,1,good,5\n"}, InteractionError, "rating is not a number.*row 6"),
        ({"ratings": RATINGS + "9,1,nan,5\n"}, InteractionError, "rating is not a number.*row 6"),
        ({"ratings": RATINGS + "9,1,4,-5\n"}, InteractionError, "timestamp is not.*row 6"),
        ({"ratings": RATINGS + ",1,4,5\n"}, InteractionError, "user_id is empty.*row 6"),
        ({"ratings": "userId,movieId\n"}, InteractionError, "no column rating"),
    ],
)  # fmt: skip
def test_faults_of_csv_files_are_named(
    tmp_path: Path, changes: dict[str, str], error: type[PigeonError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_movielens(write_csv(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"item": ITEM.replace("movie_title", "words")}, CatalogueError, "movie_title or title"),
        ({"item": ITEM + "4\t\t1999\tDrama\n"}, CatalogueError, "title is empty.*row 4"),
        ({"inter": INTER + "9\t1\t\t5\n"}, InteractionError, "rating is not a number.*row 3"),
        ({"inter": INTER.replace("timestamp", "time")}, InteractionError, "no column timestamp"),
    ],
)
def test_faults_of_atomic_files_are_named(
    tmp_path: Path, changes: dict[str, str], error: type[PigeonError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_movielens(write_atomic(tmp_path, **changes))


def test_a_folder_without_one_data_set_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"neither movies\.csv nor an \.item"):
        read_movielens(tmp_path / "nowhere")
    write_atomic(tmp_path)
    (tmp_path / "other.item").write_text(ITEM, encoding="utf-8")
    with pytest.raises(CatalogueError, match=r"found ml\.item, other\.item.*movies\.csv"):
        read_movielens(tmp_path)
