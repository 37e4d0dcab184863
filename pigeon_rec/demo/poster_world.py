"""The poster world: 400 films of MovieLens in eight made poster styles, with their users.

Its pictures have 64x96 pixels. Painted grain does not compress, so the catalogue (about 25 MB) is
not shipped: it is drawn when it is asked for the first time, which takes about two minutes of one
core, and kept in `PIGEON_CACHE_DIR` (default `~/.cache/pigeon-rec`). The same package always draws
the same files; another version of the poster maker draws into another folder.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import polars as pl
from PIL import Image

from pigeon_rec.data.made_posters import catalogue_style
from pigeon_rec.data.movielens import read_movielens
from pigeon_rec.data.world import SimulatedUsers, World
from pigeon_rec.demo.film_catalogue import Pair, catalogue_rows, film_pairs, most_rated
from pigeon_rec.demo.film_users import FilmUserConfig, film_users, is_test_user
from pigeon_rec.demo.films import bundled_movielens
from pigeon_rec.demo.posters import STYLES
from pigeon_rec.demo.users import write_atomic
from pigeon_rec.runtime.digests import digest, file_sha256
from pigeon_rec.runtime.files import replacing_folder
from pigeon_rec.runtime.parallel import Report, map_processes

__all__ = ["FILMS", "MIN_FILMS", "SIZE", "build", "load"]

FILMS = 400
MIN_FILMS = 12
"""Fewest liked films of a user: the longest history of the evaluation has ten."""

SIZE = (64, 96)
"""Width and height of its pictures in pixels."""

_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {catalogue_style(name): style.description for name, style in STYLES.items()}
)
_LOG = logging.getLogger(__name__)


def load(on_poster: Callable[[int, int], None] | None = None) -> World:
    """Returns the world, and draws it first where that has not been done.

    Args:
        on_poster: Called with the number of posters drawn, and their total.

    Raises:
        CatalogueError: RecBole's ml-100k is not installed.
    """
    folder = _cache() / f"posters-{_version()[:12]}"
    if not folder.is_dir():
        _LOG.warning("drawing the poster world into %s: some minutes, once", folder)
        with replacing_folder(folder) as fresh:
            build(fresh, FILMS, on_poster=on_poster)
    return World(
        name="posters",
        catalogue=folder / "items.parquet",
        interactions=folder / "posters.inter",
        held_out=folder / "held_out.csv",
        style_descriptions=_DESCRIPTIONS,
        test_users=partial(_users, FILMS, test=True),
    )


def build(folder: Path, films: int, *, on_poster: Callable[[int, int], None] | None = None) -> None:
    """Writes catalogue, interactions, users and held-out pairs of a world into a folder."""
    pairs = _pairs(films)
    images = _drawn(pairs, on_poster)
    rows = catalogue_rows(pairs, lambda pair: f"posters:{pair.item_id}", images)
    items = rows.with_columns(pl.Series("image", images, pl.Binary()))
    items.write_parquet(folder / "items.parquet", statistics=False)
    training = items.filter(~pl.col("held_out")).drop("image")
    write_atomic(_users(films, test=False), training, folder / "posters")
    held_out = items.filter("held_out").select("style", "concept")
    held_out.write_csv(folder / "held_out.csv")


def _pairs(films: int) -> list[Pair]:
    data = most_rated(read_movielens(bundled_movielens()), films)
    return film_pairs(data.films, tuple(STYLES))


def _users(films: int, *, test: bool) -> SimulatedUsers:
    """Simulates the training users, or else the test users, who are not among them."""
    ratings = read_movielens(bundled_movielens()).ratings()
    every = film_users(ratings, _pairs(films), FilmUserConfig(min_films=MIN_FILMS))
    kept = [user for user in every.users["user_id"] if is_test_user(user) == test]
    chosen = pl.col("user_id").is_in(kept)
    return SimulatedUsers(every.interactions.filter(chosen), every.users.filter(chosen), every.end)


def _drawn(pairs: Sequence[Pair], on_poster: Callable[[int, int], None] | None) -> list[bytes]:
    """Draws all posters, one process per core."""
    count = min(os.cpu_count() or 1, max(1, len(pairs) // 100))
    parts = [pairs[number::count] for number in range(count)]
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if on_poster is not None:
            on_poster(done, len(pairs))

    drawn = map_processes(_draw_part, parts, report)
    images = [b""] * len(pairs)
    for number, part in enumerate(drawn):
        images[number::count] = part
    return images


def _draw_part(pairs: Sequence[Pair], report: Report) -> list[bytes]:
    images = []
    for pair in pairs:
        stream = io.BytesIO()
        small = pair.painted().resize(SIZE, Image.Resampling.LANCZOS)
        small.save(stream, "WEBP", lossless=True, quality=40, method=3)
        images.append(stream.getvalue())
        report(1)
    return images


def _cache() -> Path:
    named = os.environ.get("PIGEON_CACHE_DIR")
    return Path(named) if named else Path.home() / ".cache" / "pigeon-rec"


def _version() -> str:
    """Digest of the code and the films that the world is made from."""
    here = Path(__file__).parent
    code = [*here.glob("film*.py"), here / "users.py", here / "held_out.py", Path(__file__)]
    files = [*code, *here.glob("posters/**/*.py"), *bundled_movielens().glob("ml-100k.*")]
    return digest(sorted((file.name, file_sha256(file)) for file in files))
