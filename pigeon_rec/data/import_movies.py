"""Imports films: MovieLens and a folder of posters become a catalogue and interactions.

Writes `items.parquet`, `interactions.parquet` and the posters into one folder. A film without a
usable poster is left out with its interactions, and reported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from pigeon_rec.data._images import BrokenImage, decode, read_file
from pigeon_rec.data.catalogue import Problem
from pigeon_rec.data.made_posters import made_style
from pigeon_rec.data.movielens import MovieLens
from pigeon_rec.errors import CatalogueError, ConfigError, InteractionError
from pigeon_rec.runtime.files import write_parquet

__all__ = ["MovieImport", "PosterNames", "import_movies", "poster_names", "read_semantics"]

PosterNames = Literal["item", "imdb", "tmdb"]
"""Which id poster files are named by: that of MovieLens, IMDb or TMDB."""

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
_POSTERS = "posters"


@dataclass(frozen=True)
class MovieImport:
    """Result of an import.

    Attributes:
        films: Number of films in the data set.
        posters: Films with a usable poster, which are the items of the catalogue.
        made: Items with a made poster.
        kept: Number of interactions written.
        unliked: Interactions left out because of a low rating.
        without_item: Interactions left out because the film has no poster.
        problems: One per film that was left out.
    """

    catalogue: Path
    interactions: Path
    films: int
    posters: int
    made: int
    users: int
    kept: int
    unliked: int
    without_item: int
    problems: list[Problem]


def import_movies(
    data: MovieLens,
    posters: Path,
    out: Path,
    *,
    names: PosterNames = "item",
    min_rating: float = 4.0,
    semantics: Mapping[str, str] | None = None,
) -> MovieImport:
    """Writes catalogue, interactions and posters of one data set.

    Args:
        data: Films and ratings.
        posters: Folder of pictures named by id, for example `862.jpg` or `tt0114709.png`.
        out: Folder to write to; the posters are copied to `out/posters`.
        names: Which id the files are named by; `imdb` with or without `tt` and leading zeros.
        min_rating: Lowest rating that counts as an interaction; rows without a rating all count.
        semantics: Item id -> what the film is about; genres and year are used for other films.

    Raises:
        CatalogueError: There is no such folder, or no film has a usable poster.
        InteractionError: No film with a poster has a rating of `min_rating` or more.
    """
    items, problems = _items(data.films, posters, out, names, semantics or {})
    if items.is_empty():
        raise CatalogueError(
            f"none of {data.films.height} films has a usable poster",
            location=f"{posters}, files named by {names} id"
            + (f"; first: {problems[0].message}" if problems else ""),
            remedy="Check which id the files are named by; links.csv has the ids of IMDb and TMDB",
        )
    liked = data.ratings.filter(pl.col("rating").is_null() | (pl.col("rating") >= min_rating))
    kept = liked.filter(pl.col("item_id").is_in(items["item_id"].implode()))
    if kept.is_empty():
        raise InteractionError(
            f"none of {data.ratings.height} ratings is {min_rating} or more of a film with poster",
            location=str(posters),
            remedy="Lower the minimum rating, or add posters",
        )
    catalogue, interactions = out / "items.parquet", out / "interactions.parquet"
    write_parquet(items, catalogue)
    write_parquet(_timed(kept), interactions)
    return MovieImport(
        catalogue=catalogue,
        interactions=interactions,
        films=data.films.height,
        posters=items.height,
        made=items.height - items["style"].null_count(),
        users=kept["user_id"].n_unique(),
        kept=kept.height,
        unliked=data.ratings.height - liked.height,
        without_item=liked.height - kept.height,
        problems=problems,
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


def _items(
    films: pl.DataFrame, posters: Path, out: Path, names: PosterNames, semantics: Mapping[str, str]
) -> tuple[pl.DataFrame, list[Problem]]:
    """Returns the catalogue's rows, and a problem for each film that is not in it."""
    files = _files(posters, names)
    rows: list[dict[str, str | None]] = []
    problems: list[Problem] = []
    for film in films.iter_rows(named=True):
        own = film["item_id"] if names == "item" else film[f"{names}_id"]
        name = files.get(_stem(own or "", names))
        try:
            if name is None:
                raise BrokenImage("image_missing", f"there is no poster of {names} id {own}")
            picture = _picture(posters, name, out / _POSTERS)
        except BrokenImage as broken:
            location = str(posters / name) if name else str(posters)
            problems.append(Problem(broken.kind, film["item_id"], location, str(broken)))
            continue
        about = semantics.get(film["item_id"]) or _about(film["genres"], film["year"])
        genres = str(film["genres"])
        words = {"title": film["title"], "semantics": about, "genres": genres}
        category = genres.partition(", ")[0] or "Film"
        rows.append({"item_id": film["item_id"], **words, "category": category, **picture})
    columns = ("item_id", "title", "semantics", "category", "genres")
    schema = dict.fromkeys((*columns, "image_uri", "image_sha256", "style"), pl.String())
    return pl.DataFrame(rows, schema=schema), problems


def _files(folder: Path, names: PosterNames) -> dict[str, str]:
    """Id -> file name of its poster, the first by name if there are several.

    Files are listed, not built from ids, so that no id can name a file outside the folder.
    """
    if not folder.is_dir():
        raise CatalogueError("there is no folder of posters", location=str(folder))
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES:
            found.setdefault(_stem(path.stem, names), path.name)
    return found


def _stem(text: str, names: PosterNames) -> str:
    return text.lower().removeprefix("tt").lstrip("0") if names == "imdb" else text


def _picture(posters: Path, name: str, target: Path) -> dict[str, str | None]:
    """Checks one poster, copies it to the catalogue's folder and returns its columns.

    Raises:
        BrokenImage: It cannot be read or decoded, or is too large.
    """
    data = read_file(name, posters)
    decode(data, (3, 2), stretch=True)
    target.mkdir(parents=True, exist_ok=True)
    if not (target / name).exists() or (target / name).read_bytes() != data:
        (target / name).write_bytes(data)
    return {
        "image_uri": f"{_POSTERS}/{name}",
        "image_sha256": hashlib.sha256(data).hexdigest(),
        "style": made_style(data),
    }


def _about(genres: str, year: int | None) -> str:
    """Description of a film without semantics: `comedy, drama film of 1995`."""
    kind = f"{genres.lower()} film" if genres else "film"
    return kind if year is None else f"{kind} of {year}"


def _timed(ratings: pl.DataFrame) -> pl.DataFrame:
    time = pl.from_epoch("timestamp", time_unit="s").cast(pl.Datetime("us"))
    timed = ratings.with_columns(time.dt.replace_time_zone("UTC").alias("timestamp"))
    return timed.sort("user_id", "timestamp", "item_id")
