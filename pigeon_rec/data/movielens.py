"""Reads films and ratings of MovieLens: its own CSV files, or RecBole's atomic files.

Both give the same two tables. Ids become file names later, so they may have letters, digits, `-`
and `_` only (MovieLens' own are numbers). A malformed row is an error that names file and row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pigeon_rec.data._rows import LAST_SECOND, refuse
from pigeon_rec.errors import CatalogueError, InteractionError, PigeonError

__all__ = ["FILM_SCHEMA", "RATING_SCHEMA", "MovieLens", "read_movielens"]

FILM_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "title": pl.String(),
        "year": pl.Int32(),
        "genres": pl.String(),
        "imdb_id": pl.String(),
        "tmdb_id": pl.String(),
    }
)
RATING_SCHEMA = pl.Schema(
    {
        "user_id": pl.String(),
        "item_id": pl.String(),
        "rating": pl.Float64(),
        "timestamp": pl.Int64(),
    }
)
_ID = r"^[A-Za-z0-9_-]{1,64}$"
_NO_GENRES = ("(no genres listed)", "unknown", "")
_REMEDY = (
    "Give a folder with movies.csv, ratings.csv and, if posters are named by it, links.csv; or "
    "with one RecBole data set (*.item, *.inter)"
)


@dataclass(frozen=True)
class MovieLens:
    """One MovieLens data set.

    Attributes:
        films: `FILM_SCHEMA`. `title` begins with its article and ends with the year in brackets,
            if known; `genres` are separated by ", ", empty if unknown; `imdb_id` and `tmdb_id` are
            null without `links.csv`.
        ratings: `RATING_SCHEMA`; `rating` is null if the data set has none, `timestamp` is in
            seconds since 1970.
    """

    films: pl.DataFrame
    ratings: pl.DataFrame


def read_movielens(folder: Path) -> MovieLens:
    """Reads a MovieLens data set in either form.

    Raises:
        CatalogueError: There is no data set in the folder, or its films cannot be read.
        InteractionError: The ratings cannot be read.
    """
    if (folder / "movies.csv").is_file():
        return MovieLens(_csv_films(folder), _csv_ratings(folder / "ratings.csv"))
    items = sorted(folder.glob("*.item")) if folder.is_dir() else []
    if len(items) != 1:
        found = ", ".join(path.name for path in items) or "neither movies.csv nor an .item file"
        raise CatalogueError(f"no data set: found {found}", location=str(folder), remedy=_REMEDY)
    return MovieLens(_atomic_films(items[0]), _atomic_ratings(items[0].with_suffix(".inter")))


def _csv_films(folder: Path) -> pl.DataFrame:
    path = folder / "movies.csv"
    names = {"movieId": "item_id", "title": "title", "genres": "genres"}
    films = _read(path, names, CatalogueError)
    links = folder / "links.csv"
    ids = {"movieId": "item_id", "imdbId": "imdb_id", "tmdbId": "tmdb_id"}
    if links.is_file():
        linked = _read(links, ids, CatalogueError).drop("row").unique("item_id", keep="first")
        films = films.join(linked, on="item_id", how="left", maintain_order="left")
    genres = pl.col("genres").fill_null("").str.replace_all("|", ", ", literal=True)
    return _checked_films(films.with_columns(genres), path)


def _atomic_films(path: Path) -> pl.DataFrame:
    rows = _read_atomic(path, CatalogueError)
    title = _present(rows, ("movie_title", "title", "name"), path, CatalogueError)
    year = next((name for name in ("release_year", "year") if name in rows.columns), None)
    genres = next((name for name in ("genres", "genre", "class") if name in rows.columns), None)
    # A `token_seq` is separated by spaces; MovieLens' genres have none.
    listed = pl.lit("") if genres is None else pl.col(genres).str.replace_all(" ", ", ")
    films = rows.select(
        "row",
        pl.col("item_id"),
        pl.col(title).alias("title"),
        (pl.lit(None, pl.String()) if year is None else pl.col(year)).alias("year"),
        listed.fill_null("").alias("genres"),
    )
    known = pl.col("year").str.contains(r"^\d{4}$").fill_null(value=False)
    dated = pl.when(known & ~pl.col("title").str.contains(r"\(\d{4}\)\s*$")).then(
        pl.format("{} ({})", "title", "year")
    )
    return _checked_films(films.with_columns(title=dated.otherwise("title")), path)


def _checked_films(films: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Checks the films and brings them and their titles into the form of `FILM_SCHEMA`."""
    usable = pl.col("item_id").str.contains(_ID).fill_null(value=False)
    refuse(films, ~usable, "item id is not letters, digits, - and _", path, CatalogueError)
    refuse(films, pl.col("item_id").is_duplicated(), "item id is repeated", path, CatalogueError)
    empty = pl.col("title").fill_null("").str.strip_chars() == ""
    refuse(films, empty, "title is empty", path, CatalogueError)
    unlinked = [name for name in ("imdb_id", "tmdb_id") if name not in films.columns]
    films = films.with_columns(pl.lit(None, pl.String()).alias(name) for name in unlinked)
    title = pl.col("title").str.strip_chars()
    year = title.str.extract(r"\((\d{4})\)$")
    # "Matrix, The" -> "The Matrix".
    name = title.str.replace(r"\s*\(\d{4}\)$", "").str.replace(r"^(.+), (The|A|An)$", "${2} ${1}")
    whole = pl.when(year.is_null()).then(name).otherwise(pl.format("{} ({})", name, year))
    genres = pl.when(pl.col("genres").is_in(_NO_GENRES)).then(pl.lit("")).otherwise("genres")
    tidied = films.with_columns(title=whole, year=year, genres=genres)
    return tidied.select(pl.col(name).cast(kind) for name, kind in FILM_SCHEMA.items())


def _csv_ratings(path: Path) -> pl.DataFrame:
    names = {
        "userId": "user_id", "movieId": "item_id", "rating": "rating", "timestamp": "timestamp",
    }  # fmt: skip
    return _checked_ratings(_read(path, names, InteractionError), path)


def _atomic_ratings(path: Path) -> pl.DataFrame:
    rows = _read_atomic(path, InteractionError)
    for name in ("user_id", "timestamp"):
        _present(rows, (name,), path, InteractionError)
    rating = pl.col("rating") if "rating" in rows.columns else pl.lit(None, pl.String())
    named = rows.select("row", "user_id", "item_id", rating.alias("rating"), "timestamp")
    return _checked_ratings(named, path, rated="rating" in rows.columns)


def _checked_ratings(rows: pl.DataFrame, path: Path, *, rated: bool = True) -> pl.DataFrame:
    for name in ("user_id", "item_id"):
        empty = pl.col(name).fill_null("") == ""
        refuse(rows, empty, f"{name} is empty", path, InteractionError)
    rows = rows.with_columns(pl.col("rating", "timestamp").cast(pl.Float64, strict=False))
    if rated:
        finite = pl.col("rating").is_finite().fill_null(value=False)
        refuse(rows, ~finite, "rating is not a number", path, InteractionError)
    timed = pl.col("timestamp").is_between(0, LAST_SECOND).fill_null(value=False)
    refuse(rows, ~timed, "timestamp is not in seconds since 1970", path, InteractionError)
    return rows.select(pl.col(name).cast(kind) for name, kind in RATING_SCHEMA.items())


def _read(path: Path, names: dict[str, str], error: type[PigeonError]) -> pl.DataFrame:
    """Reads columns of a CSV file under our names, as text, with row numbers from 1."""
    try:
        rows = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as cause:
        raise error(f"cannot read the file: {cause}", location=str(path), remedy=_REMEDY) from cause
    for name in names:
        _present(rows, (name,), path, error)
    return rows.select(pl.col(old).alias(new) for old, new in names.items()).with_row_index(
        "row", offset=1
    )


def _read_atomic(path: Path, error: type[PigeonError]) -> pl.DataFrame:
    """Reads an atomic file as text, without the types of its header, with row numbers from 1."""
    try:
        rows = pl.read_csv(path, separator="\t", quote_char=None, infer_schema=False)
        rows = rows.rename({name: name.split(":")[0] for name in rows.columns})
    except (OSError, pl.exceptions.PolarsError) as cause:
        raise error(f"cannot read the file: {cause}", location=str(path), remedy=_REMEDY) from cause
    _present(rows, ("item_id",), path, error)
    return rows.with_row_index("row", offset=1)


def _present(
    rows: pl.DataFrame, names: tuple[str, ...], path: Path, error: type[PigeonError]
) -> str:
    """Returns the first of the names that is a column."""
    found = next((name for name in names if name in rows.columns), None)
    if found is None:
        raise error(
            f"there is no column {' or '.join(names)}",
            location=f"{path}, line 1: {', '.join(rows.columns)}",
            remedy=_REMEDY,
        )
    return found
