"""The demo film set: RecBole's copy of MovieLens 100K, every film in several made posters.

RecBole's wheel has the ratings of ml-100k but no pictures, and real posters cannot be shipped, so
every poster is a made one (`pigeon_rec.demo.posters`). An item is a film in a style.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import yaml

from pigeon_rec.data.movielens import read_movielens
from pigeon_rec.demo.film_catalogue import Pair, catalogue_rows, film_pairs, most_rated
from pigeon_rec.demo.film_users import film_users
from pigeon_rec.demo.posters import STYLES, draw_made_poster
from pigeon_rec.demo.posters.make import checked_styles
from pigeon_rec.errors import CatalogueError, InteractionError
from pigeon_rec.runtime.files import real_path, write_parquet

__all__ = ["DEMO_FILMS", "DemoFilms", "bundled_movielens", "make_demo"]

DEMO_FILMS = 200

_HEADER = """\
# A night over the demo movie set: RecBole's ml-100k with made posters.
# The bundled model has seen stickers only, so its posters are poor, and its scorer cannot compare
# a poster with its text: `min_text_score: -1` accepts every text score.
"""


@dataclass(frozen=True)
class DemoFilms:
    """What `make_demo` made.

    Attributes:
        config: Configuration of a night over it.
        posters: Items of the catalogue: films times styles.
        kept: Number of interactions.
    """

    catalogue: Path
    interactions: Path
    config: Path
    films: int
    styles: int
    posters: int
    users: int
    kept: int


def bundled_movielens() -> Path:
    """Finds the folder of RecBole's ml-100k without importing RecBole.

    Raises:
        CatalogueError: RecBole or its example data set is not installed.
    """
    spec = importlib.util.find_spec("recbole")
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    for root in roots:
        folder = Path(root) / "dataset_example" / "ml-100k"
        if folder.is_dir():
            return folder
    raise CatalogueError(
        "RecBole's ml-100k is not installed",
        location=", ".join(roots) or "no package named recbole",
        remedy="Install pigeon-rec[recbole], or import MovieLens files of your own",
    )


def make_demo(
    out: Path,
    source: Path | None = None,
    *,
    films: int = DEMO_FILMS,
    styles: Sequence[str] = tuple(STYLES),
    on_poster: Callable[[int, int], None] | None = None,
) -> DemoFilms:
    """Draws films in every style, simulates which posters users liked, and writes `night.yaml`.

    Args:
        out: Folder to write to.
        source: A MovieLens data set; RecBole's ml-100k by default.
        films: Number of films, those rated most often.
        styles: Names of the poster styles.
        on_poster: Called with the number of posters drawn, and their total.

    Raises:
        CatalogueError: The data set cannot be read.
        ConfigError: There is no such style.
        InteractionError: No user likes enough of the films.
    """
    chosen = checked_styles(styles)
    data = read_movielens(source if source is not None else bundled_movielens())
    data = most_rated(data, films)
    pairs = film_pairs(data.films, chosen)
    simulated = film_users(data.ratings(), pairs)
    if simulated.interactions.is_empty():
        raise InteractionError(
            f"no user likes enough of the {data.films.height} films",
            remedy="Take more films, or a data set with more ratings",
        )
    images = _drawn(pairs, out, on_poster)
    catalogue, interactions = out / "items.parquet", out / "interactions.parquet"
    write_parquet(catalogue_rows(pairs, _uri, images), catalogue)
    write_parquet(_timed(simulated.interactions), interactions)
    config = out / "night.yaml"
    settings = _night(catalogue, interactions, out)
    config.write_text(_HEADER + yaml.safe_dump(settings, sort_keys=False), "utf-8")
    return DemoFilms(
        catalogue, interactions, config, films=data.films.height, styles=len(chosen),
        posters=len(pairs), users=simulated.users.height, kept=simulated.interactions.height,
    )  # fmt: skip


def _uri(pair: Pair) -> str:
    return f"posters/{pair.style}/{pair.film}.png"


def _drawn(
    pairs: Sequence[Pair], out: Path, on_poster: Callable[[int, int], None] | None
) -> list[bytes]:
    """Writes the poster files and returns their bytes."""
    images = []
    for done, pair in enumerate(pairs, start=1):
        data = draw_made_poster(pair.title, pair.year, pair.genres, style=pair.style)
        path = out / _uri(pair)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        images.append(data)
        if on_poster is not None:
            on_poster(done, len(pairs))
    return images


def _timed(interactions: pl.DataFrame) -> pl.DataFrame:
    time = pl.from_epoch("timestamp", time_unit="s").cast(pl.Datetime("us"))
    return interactions.with_columns(time.dt.replace_time_zone("UTC").alias("timestamp"))


def _night(catalogue: Path, interactions: Path, out: Path) -> dict[str, object]:
    """Settings of a night small enough for two CPU cores, with absolute paths."""
    return {
        "scenario": "movie",
        "catalogue": str(real_path(catalogue)),
        "interactions": str(real_path(interactions)),
        "work_dir": str(real_path(out / "var")),
        "plan": {"max_assets": 120, "shards": 2, "cohorts": {"count": 4, "references": 5}},
        "gate": {"min_text_score": -1.0},
    }
