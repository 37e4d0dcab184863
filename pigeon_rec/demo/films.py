"""The demo film world: RecBole's copy of MovieLens 100K, with made posters.

RecBole's wheel has the ratings of ml-100k but no pictures, and real posters cannot be shipped, so
every poster is a made one (`pigeon_rec.demo.posters`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import yaml

from pigeon_rec.data.import_movies import MovieImport, import_movies
from pigeon_rec.data.movielens import MovieLens, read_movielens
from pigeon_rec.demo.posters import make_posters
from pigeon_rec.errors import CatalogueError

__all__ = ["bundled_movielens", "make_demo"]

_HEADER = """\
# A night over the demo movie set: RecBole's ml-100k with made posters.
# The bundled model has seen stickers only, so its posters are poor, and its scorer cannot compare
# a poster with its text: `min_text_score: -1` accepts every text score.
"""


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
    films: int | None = None,
    on_film: Callable[[int, int], None] | None = None,
) -> tuple[MovieImport, Path]:
    """Draws made posters, imports films and ratings, and writes `night.yaml` beside them.

    Args:
        out: Folder to write to.
        source: A MovieLens data set; RecBole's ml-100k by default.
        films: Number of films, those rated most often; all by default.
        on_film: Called with the number of posters drawn, and their total.

    Returns:
        Result of the import, and the path of the configuration.
    """
    data = read_movielens(source if source is not None else bundled_movielens())
    if films is not None:
        data = _most_rated(data, films)
    posters = out / "posters"
    make_posters(data.films, posters, on_film=on_film)
    imported = import_movies(data, posters, out)
    config = out / "night.yaml"
    config.write_text(_HEADER + yaml.safe_dump(_night(imported, out), sort_keys=False), "utf-8")
    return imported, config


def _most_rated(data: MovieLens, films: int) -> MovieLens:
    counts = (
        data.ratings.group_by("item_id").len().sort(["len", "item_id"], descending=[True, False])
    )
    kept = data.films.filter(data.films["item_id"].is_in(counts["item_id"].head(films).implode()))
    return MovieLens(kept, data.ratings)


def _night(imported: MovieImport, out: Path) -> dict[str, object]:
    """Settings of a night small enough for two CPU cores, with absolute paths."""
    return {
        "scenario": "movie",
        "catalogue": str(imported.catalogue.resolve()),
        "interactions": str(imported.interactions.resolve()),
        "work_dir": str((out / "var").resolve()),
        "plan": {"max_assets": 120, "shards": 2, "cohorts": {"count": 4, "references": 5}},
        "gate": {"min_text_score": -1.0},
    }
