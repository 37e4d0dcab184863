"""Films and ratings of MovieLens: its own CSV files, or RecBole's atomic files.

Both forms give the same columns. The files are read like any team's own tables (`data.tables`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

from pigeon_rec.columns import InteractionColumns, TableColumns
from pigeon_rec.data.import_interactions import import_interactions
from pigeon_rec.data.tables import Table, listed, open_table, values
from pigeon_rec.errors import CatalogueError, InteractionError

__all__ = [
    "FILM_SCHEMA",
    "RATING_COLUMNS",
    "RATING_SCHEMA",
    "MovieLens",
    "has_ratings",
    "read_movielens",
]

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
RATING_COLUMNS: Final = InteractionColumns(time_unit="s")
"""How the ratings are read: columns by their usual names, times in seconds since 1970."""

_LOG = logging.getLogger(__name__)
_NO_GENRES: Final = ("(no genres listed)", "unknown", "")
_REMEDY: Final = (
    "Give a folder with movies.csv, ratings.csv and, if posters are named by it, links.csv; or "
    "with one RecBole data set (*.item, *.inter)"
)


@dataclass(frozen=True)
class MovieLens:
    """One MovieLens data set.

    Attributes:
        films: `FILM_SCHEMA`, in the order of the file. `title` begins with its article and ends
            with the year in brackets, if known; `genres` are separated by ", ", empty if unknown;
            `imdb_id` and `tmdb_id` are null without `links.csv`.
        ratings_file: Table of the ratings, for `import_interactions` with `RATING_COLUMNS`.
    """

    films: pl.DataFrame
    ratings_file: Path

    def ratings(self) -> pl.DataFrame:
        """Reads the usable ratings as `RATING_SCHEMA`, sorted by user, time and film.

        `rating` is null if the data set has none; `timestamp` is in seconds since 1970.

        Raises:
            InteractionError: The table cannot be read.
        """
        with tempfile.TemporaryDirectory(prefix="pigeon-import-") as scratch:
            path = Path(scratch, "ratings.parquet")
            import_interactions(str(self.ratings_file), path, RATING_COLUMNS)
            rows = pl.read_parquet(path)
        if "rating" not in rows.columns:
            rows = rows.with_columns(rating=pl.lit(None, pl.Float64()))
        seconds = rows.with_columns(pl.col("timestamp").dt.epoch("s"))
        return seconds.select(pl.col(name).cast(kind) for name, kind in RATING_SCHEMA.items())


def read_movielens(folder: Path) -> MovieLens:
    """Reads the films of a MovieLens data set in either form, and finds its ratings.

    Raises:
        CatalogueError: There is no data set in the folder, or its films cannot be read.
    """
    if (folder / "movies.csv").is_file():
        return MovieLens(_csv_films(folder), folder / "ratings.csv")
    items = sorted(folder.glob("*.item")) if folder.is_dir() else []
    if len(items) != 1:
        found = ", ".join(path.name for path in items) or "neither movies.csv nor an .item file"
        raise CatalogueError(f"no data set: found {found}", location=str(folder), remedy=_REMEDY)
    return MovieLens(_atomic_films(items[0]), items[0].with_suffix(".inter"))


def has_ratings(data: MovieLens) -> bool:
    """Whether the table of the ratings has a column of them.

    Raises:
        InteractionError: The table cannot be read.
    """
    with open_table(str(data.ratings_file), RATING_COLUMNS, InteractionError) as table:
        return "rating" in table.columns


def _csv_films(folder: Path) -> pl.DataFrame:
    names = {"item_id": ("movieId",), "title": ("title",), "genres": ("genres",)}
    films = _read(folder / "movies.csv", names)
    links = folder / "links.csv"
    if links.is_file():
        ids = {"item_id": ("movieId",), "imdb_id": ("imdbId",), "tmdb_id": ("tmdbId",)}
        linked = _read(links, ids).unique("item_id", keep="first")
        films = films.join(linked, on="item_id", how="left", maintain_order="left")
    genres = pl.col("genres").str.replace_all("|", ", ", literal=True)
    return _tidied(films.with_columns(genres))


def _atomic_films(path: Path) -> pl.DataFrame:
    names = {"item_id": ("item_id",), "title": ("movie_title", "title", "name")}
    more = {"year": ("release_year", "year"), "genres": ("genres", "genre", "class")}
    films = _read(path, names, more)
    known = pl.col("year").str.contains(r"^\d{4}$").fill_null(value=False)
    dated = pl.when(known & ~pl.col("title").str.contains(r"\(\d{4}\)\s*$")).then(
        pl.format("{} ({})", "title", "year")
    )
    # A `token_seq` is separated by spaces; MovieLens' genres have none.
    genres = pl.col("genres").str.replace_all(" ", ", ")
    return _tidied(films.with_columns(genres, title=dated.otherwise("title")))


def _tidied(films: pl.DataFrame) -> pl.DataFrame:
    """Brings titles and genres into the form of `FILM_SCHEMA`; a film without title has its id."""
    unlinked = [name for name in ("imdb_id", "tmdb_id") if name not in films.columns]
    films = films.with_columns(pl.lit(None, pl.String()).alias(name) for name in unlinked)
    title = pl.coalesce("title", "item_id")
    year = title.str.extract(r"\((\d{4})\)$")
    # "Matrix, The" -> "The Matrix".
    name = title.str.replace(r"\s*\(\d{4}\)$", "").str.replace(r"^(.+), (The|A|An)$", "${2} ${1}")
    whole = pl.when(year.is_null()).then(name).otherwise(pl.format("{} ({})", name, year))
    genres = pl.col("genres").fill_null("")
    genres = pl.when(genres.is_in(_NO_GENRES)).then(pl.lit("")).otherwise(genres)
    tidied = films.with_columns(title=whole, year=year, genres=genres)
    return tidied.select(pl.col(name).cast(kind) for name, kind in FILM_SCHEMA.items())


def _read(
    path: Path,
    names: Mapping[str, tuple[str, ...]],
    more: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> pl.DataFrame:
    """Reads columns as text: our name -> the names that a column may have.

    The columns of `more` may be missing, and are null then.
    """
    with open_table(str(path), TableColumns(), CatalogueError) as table:
        found = {ours: _column(table, theirs) for ours, theirs in {**names, **more}.items()}
        for ours, theirs in names.items():
            if found[ours] is None:
                raise CatalogueError(
                    f"no column is named {' or '.join(theirs)}; the table has "
                    f"{listed(table.columns)}",
                    location=table.location,
                    remedy=_REMEDY,
                )
        given = {ours: column for ours, column in found.items() if column is not None}
        named = table.relation.select(
            *(table.columns[column][0].alias(ours) for ours, column in given.items())
        )
        kinds = {ours: table.columns[column][1] for ours, column in given.items()}
        texts = [
            f"{(values.id_text if ours == 'item_id' else values.text)(ours, kind)} AS {ours}"
            for ours, kind in kinds.items()
        ]
        rows = named.select(", ".join(texts)).fetchall()
        for line, message in table.rejected_lines():
            _LOG.warning("%s, line %s is left out: %s", table.location, line, message)
    films = pl.DataFrame(rows, schema=dict.fromkeys(given, pl.String()), orient="row")
    return films.with_columns(
        pl.lit(None, pl.String()).alias(ours) for ours in found if ours not in given
    )


def _column(table: Table, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table.columns), None)
