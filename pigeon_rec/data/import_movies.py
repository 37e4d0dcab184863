"""Imports films: MovieLens and a folder of posters become a catalogue and interactions.

The films are brought into a table, which `import_items` reads like any team's own, and the ratings
are read by `import_interactions`. The posters stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import polars as pl

from pigeon_rec.columns import ImagesConfig, ItemColumns
from pigeon_rec.data._images import BrokenImage, read_file
from pigeon_rec.data._picture_files import list_pictures
from pigeon_rec.data.import_interactions import PairImport, import_interactions
from pigeon_rec.data.import_items import ItemImport, import_items
from pigeon_rec.data.made_posters import made_style
from pigeon_rec.data.movielens import RATING_COLUMNS, MovieLens, has_ratings
from pigeon_rec.errors import CatalogueError, ConfigError
from pigeon_rec.runtime.files import write_parquet

__all__ = ["LIKED", "MovieImport", "PosterNames", "import_movies", "poster_names", "read_semantics"]

LIKED: Final = 4.0
"""Lowest of MovieLens' five stars that counts as an interaction."""

PosterNames = Literal["item", "imdb", "tmdb"]
"""Which id poster files are named by: that of MovieLens, IMDb or TMDB."""

_COLUMNS: Final = ItemColumns(
    id="item_id", title="title", text="semantics", category="category", image="image",
    keep=("genres", "style"),
)  # fmt: skip


@dataclass(frozen=True)
class MovieImport:
    """Result of an import.

    Attributes:
        items: The films with a usable poster, and those left out.
        interactions: The ratings that count, also those of films without poster.
        made: Films with a made poster.
    """

    items: ItemImport
    interactions: PairImport
    made: int


def import_movies(
    data: MovieLens,
    posters: Path,
    out: Path,
    *,
    names: PosterNames = "item",
    min_rating: float | None = None,
    semantics: Mapping[str, str] | None = None,
) -> MovieImport:
    """Writes catalogue, interactions, and the table of the films into `out`.

    Args:
        data: Films and ratings.
        posters: Folder of pictures named by id, for example `862.jpg` or `tt0114709.png`.
        out: Folder to write to.
        names: Which id the files are named by; `imdb` with or without `tt` and leading zeros.
        min_rating: Lowest rating that counts as an interaction; by default `LIKED` where the data
            set has ratings.
        semantics: Item id -> what the film is about; genres and year are used for other films.

    Raises:
        CatalogueError: There is no such folder, or no film has a usable poster.
        InteractionError: The ratings cannot be read, or none is `min_rating` or more.
    """
    films = _films(data.films, posters, names, semantics or {})
    lowest = LIKED if min_rating is None and has_ratings(data) else min_rating
    table = out / "films.parquet"
    write_parquet(films, table)
    items = import_items(str(table), out, _COLUMNS, ImagesConfig(folder=posters))
    columns = RATING_COLUMNS.model_copy(update={"min_rating": lowest})
    return MovieImport(
        items,
        import_interactions(str(data.ratings_file), out / "interactions.parquet", columns),
        made=pl.scan_parquet(items.path).select(pl.col("style").count()).collect().item(),
    )


def poster_names(text: str) -> PosterNames:
    """Checks the name of an id that poster files are named by.

    Raises:
        ConfigError: It is not one of `PosterNames`.
    """
    known: tuple[PosterNames, ...] = get_args(PosterNames)
    for name in known:
        if text == name:
            return name
    raise ConfigError(
        f"posters are named by {' or '.join(known)}, not by {text!r}", location="names"
    )


def read_semantics(path: Path) -> dict[str, str]:
    """Reads what films are about from a parquet file of `item_id` and `semantics`, both strings.

    Raises:
        CatalogueError: The file cannot be read, or lacks one of the columns.
    """
    try:
        rows = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CatalogueError(f"cannot read the semantics: {error}", location=str(path)) from error
    for name in ("item_id", "semantics"):
        if rows.schema.get(name) != pl.String():
            raise CatalogueError(
                f"column {name} is missing or does not hold strings",
                location=str(path),
                remedy="Write a parquet file of item_id and semantics",
            )
    return dict(rows.select("item_id", "semantics").drop_nulls().iter_rows())


def _films(
    films: pl.DataFrame, posters: Path, names: PosterNames, semantics: Mapping[str, str]
) -> pl.DataFrame:
    """Returns the films as a table for `import_items`; `image` is null where there is no poster."""
    files = _files(posters, names)
    own = films["item_id" if names == "item" else f"{names}_id"]
    images = [None if key is None else files.get(_stem(key, names)) for key in own]
    if films.height and not any(images):
        first = next((key for key in own if key is not None), None)
        raise CatalogueError(
            f"none of {films.height} films has a poster; the first of them has {names} id {first}",
            location=f"{posters}, files named by {names} id",
            remedy="Check which id the files are named by; links.csv has the ids of IMDb and TMDB",
        )
    facts = films.select("item_id", "genres", "year").iter_rows()
    about = [semantics.get(film) or _about(genres, year) for film, genres, year in facts]
    first_genre = pl.col("genres").str.split(", ").list.first()
    category = pl.when(first_genre == "").then(pl.lit("Film")).otherwise(first_genre)
    return films.select(
        "item_id",
        "title",
        pl.Series("semantics", about, pl.String()),
        category.alias("category"),
        "genres",
        pl.Series("style", [_made_style(posters, name) for name in images], pl.String()),
        pl.Series("image", images, pl.String()),
    )


def _files(folder: Path, names: PosterNames) -> dict[str, str]:
    """Id -> path of its poster below the folder, the first if there are several.

    Files are listed, not built from ids, so that no id can name a file outside the folder.
    """
    if not folder.is_dir():
        raise CatalogueError("there is no folder of posters", location=str(folder))
    found: dict[str, str] = {}
    for name in list_pictures(folder)[0]:
        found.setdefault(_stem(Path(name).stem, names), name)
    return found


def _stem(text: str, names: PosterNames) -> str:
    return text.lower().removeprefix("tt").lstrip("0") if names == "imdb" else text


def _made_style(posters: Path, name: str | None) -> str | None:
    """The style of a made poster; what is wrong with a file is found by the import."""
    try:
        return None if name is None else made_style(read_file(name, posters))
    except BrokenImage:
        return None


def _about(genres: str, year: int | None) -> str:
    """Description of a film without semantics: `comedy, drama film of 1995`."""
    kind = f"{genres.lower()} film" if genres else "film"
    return kind if year is None else f"{kind} of {year}"
