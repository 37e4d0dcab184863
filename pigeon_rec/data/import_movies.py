"""Films with posters as a catalogue: MovieLens and a folder of pictures become what a night reads.

Writes `items.parquet`, `interactions.parquet` and the posters themselves into one folder. A film
without a usable poster is left out and told, as are the interactions with it: a night can only
personalise what it can see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from pigeon_rec.data._images import MAX_BYTES, BrokenImage, decode, read_file
from pigeon_rec.data.catalogue import Problem
from pigeon_rec.data.made_posters import MADE, is_made
from pigeon_rec.data.movielens import MovieLens
from pigeon_rec.errors import CatalogueError, ConfigError, InteractionError

__all__ = ["MovieImport", "PosterNames", "import_movies", "poster_names", "read_semantics"]

PosterNames = Literal["item", "imdb", "tmdb"]
"""What poster files are named by: MovieLens' own id, or that of IMDb or TMDB."""

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
_POSTERS = "posters"


@dataclass(frozen=True)
class MovieImport:
    """What was imported.

    Attributes:
        catalogue: The written `items.parquet`.
        interactions: The written `interactions.parquet`.
        films: Films of the data set.
        posters: Films that have a usable poster: the items of the catalogue.
        made: Those among them whose poster is a made one.
        users: People in the interactions.
        kept: Interactions with an item of the catalogue, liked.
        unliked: Interactions left out because of their rating.
        without_item: Liked interactions with a film that has no poster.
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
    """Writes the catalogue and the interactions of one data set.

    Args:
        data: Films and ratings.
        posters: Folder of pictures named by `names`, for example `862.jpg` or `tt0114709.png`.
        out: Folder to write into; the posters are copied to `out/posters`.
        names: Which id the files are named by; `imdb` with or without `tt` and leading zeros.
        min_rating: Ratings from here on say that a user liked a film; interactions without a
            rating all do.
        semantics: What films are about, by item id. A film without any is told by genres and year.

    Raises:
        CatalogueError: There is no such folder, or no film has a usable poster.
        InteractionError: Nobody liked any of the films that have a poster.
    """
    items, problems = _items(data.films, posters, out, names, semantics or {})
    if items.is_empty():
        raise CatalogueError(
            f"none of {data.films.height} films has a usable poster",
            location=f"{posters}, files named by {names} id"
            + (f"; first: {problems[0].message}" if problems else ""),
            remedy="Check what the files are named by; links.csv tells the ids of IMDb and TMDB",
        )
    liked = data.ratings.filter(pl.col("rating").is_null() | (pl.col("rating") >= min_rating))
    kept = liked.filter(pl.col("item_id").is_in(items["item_id"].implode()))
    if kept.is_empty():
        raise InteractionError(
            f"none of {data.ratings.height} ratings is {min_rating} or more of a film with poster",
            location=str(posters),
            remedy="Lower the least rating, or add posters",
        )
    catalogue, interactions = out / "items.parquet", out / "interactions.parquet"
    _write(items, catalogue)
    _write(_timed(kept), interactions)
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
    """Reads what poster files are named by.

    Raises:
        ConfigError: It is none of `PosterNames`.
    """
    known: tuple[PosterNames, ...] = get_args(PosterNames)
    for name in known:
        if text == name:
            return name
    raise ConfigError(
        f"posters are named by {' or '.join(known)}, not by {text!r}", location="names"
    )


def read_semantics(path: Path) -> dict[str, str]:
    """What films are about, from a parquet file of `item_id` and `semantics`, both strings.

    Raises:
        CatalogueError: The file cannot be read, or lacks a column of strings.
    """
    try:
        rows = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CatalogueError(f"cannot read the semantics: {error}", location=str(path)) from error
    for name in ("item_id", "semantics"):
        if rows.schema.get(name) != pl.String():
            raise CatalogueError(
                f"column {name} is missing or holds no strings",
                location=str(path),
                remedy="Write a parquet file of item_id and semantics",
            )
    return dict(rows.select("item_id", "semantics").drop_nulls().iter_rows())


def _items(
    films: pl.DataFrame, posters: Path, out: Path, names: PosterNames, semantics: Mapping[str, str]
) -> tuple[pl.DataFrame, list[Problem]]:
    """The catalogue's rows, and what was wrong with the films that are not in it."""
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
    """File names of pictures by what they are named after; of two, the first by name counts.

    Listed and not built from ids, so that no id can name a file outside.
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
    """Checks one poster and copies it to the catalogue's folder; its address, hash and style.

    Raises:
        BrokenImage: It cannot be read or decoded, or is too large.
    """
    data = read_file(name, posters)
    if len(data) > MAX_BYTES:
        raise BrokenImage("image_too_large", f"the image has more than {MAX_BYTES} bytes")
    decode(data, (3, 2), stretch=True)
    target.mkdir(parents=True, exist_ok=True)
    if not (target / name).exists() or (target / name).read_bytes() != data:
        (target / name).write_bytes(data)
    return {
        "image_uri": f"{_POSTERS}/{name}",
        "image_sha256": hashlib.sha256(data).hexdigest(),
        "style": MADE if is_made(data) else None,
    }


def _about(genres: str, year: int | None) -> str:
    """What is known of a film without semantics: `comedy, drama film of 1995`."""
    kind = f"{genres.lower()} film" if genres else "film"
    return kind if year is None else f"{kind} of {year}"


def _timed(ratings: pl.DataFrame) -> pl.DataFrame:
    time = pl.from_epoch("timestamp", time_unit="s").cast(pl.Datetime("us"))
    timed = ratings.with_columns(time.dt.replace_time_zone("UTC").alias("timestamp"))
    return timed.sort("user_id", "timestamp", "item_id")


def _write(frame: pl.DataFrame, path: Path) -> None:
    """Writes in one step: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    frame.write_parquet(temporary)
    temporary.replace(path)
