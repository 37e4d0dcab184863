"""Writes a first `night.yaml` for a team's own tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pigeon_rec.columns import InteractionColumns, ItemColumns, RecommendationColumns, TableColumns
from pigeon_rec.data.tables import find_columns, open_table
from pigeon_rec.errors import CatalogueError, ConfigError, InteractionError, PigeonError, PlanError
from pigeon_rec.runtime.files import write_text

__all__ = ["TeamTables", "find_tables", "write_night"]

_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".dat", ".txt")
_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "items": ("items", "products", "articles", "movies", "books", "catalogue", "catalog"),
    "interactions": ("interactions", "events", "clicks", "ratings", "purchases", "transactions"),
    "recommendations": ("recommendations", "top_k", "topk", "recs"),
}
_ATOMIC: Final[Mapping[str, str]] = {"items": "*.item", "interactions": "*.inter"}
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "items": ("id",),
    "interactions": ("user", "item", "time"),
    "recommendations": ("user", "item", "score"),
}
_OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "items": ("image", "title", "text", "category"),
    "interactions": ("rating",),
    "recommendations": (),
}


@dataclass(frozen=True)
class TeamTables:
    """A team's own files.

    Attributes:
        items: Table of the items, or folder of pictures.
        interactions: Table of the interactions.
        recommendations: Table of the recommendations; None trains a recommender.
        images: Folder that the paths of the pictures start from; None is that of the items.
    """

    items: Path
    interactions: Path
    recommendations: Path | None = None
    images: Path | None = None


def find_tables(
    folder: Path,
    items: Path | None,
    interactions: Path | None,
    recommendations: Path | None,
    images: Path | None,
) -> TeamTables:
    """Completes the given files by those in a folder that have usual names.

    Raises:
        ConfigError: No file of items or of interactions was found.
    """
    items = items or _usual_file(folder, "items")
    interactions = interactions or _usual_file(folder, "interactions")
    if items is None or interactions is None:
        missing = "items" if items is None else "interactions"
        raise ConfigError(
            f"no table of {missing} was found",
            location=str(folder.absolute()),
            remedy=f"Name it with --{missing} FILE",
        )
    found = recommendations or _usual_file(folder, "recommendations")
    return TeamTables(items, interactions, found, images)


def write_night(folder: Path, tables: TeamTables, scenario: str = "sticker") -> Path:
    """Writes `folder/night.yaml`, with comments, and returns its path.

    The columns that hold what is needed are found in the tables and written down.

    Raises:
        ConfigError: The file exists already.
        PigeonError: A table cannot be read, or lacks a column.
    """
    path = folder / "night.yaml"
    if path.exists():
        raise ConfigError(
            "there is a night.yaml already",
            location=str(path.absolute()),
            remedy="Check it with `pigeon-rec check`, or remove it",
        )
    columns = {
        "items": {}
        if tables.items.is_dir()
        else _found(tables.items, ItemColumns(), "items", CatalogueError),
        "interactions": _found(
            tables.interactions, InteractionColumns(), "interactions", InteractionError
        ),
    }
    if tables.recommendations is not None:
        columns["recommendations"] = _found(
            tables.recommendations, RecommendationColumns(), "recommendations", PlanError
        )
    write_text("\n".join(_lines(folder, tables, columns, scenario)) + "\n", path)
    return path


def _lines(
    folder: Path, tables: TeamTables, columns: Mapping[str, Mapping[str, str]], scenario: str
) -> Iterator[str]:
    def seen_from_here(path: Path) -> str:
        return json.dumps(os.path.relpath(path.absolute(), folder.absolute()), ensure_ascii=False)

    yield "# The settings of a night; paths are relative to this file. All settings and their"
    yield "# defaults: docs/settings.md. Check them with: pigeon-rec check night.yaml"
    yield ""
    yield f"catalogue: {seen_from_here(tables.items)}"
    yield f"interactions: {seen_from_here(tables.interactions)}"
    if tables.recommendations is None:
        yield "# A BPR model is trained on the interactions. Better: the top-K of your recommender,"
        yield "# a table of user, item and score."
        yield "recommendations: recbole"
    else:
        yield f"recommendations: {seen_from_here(tables.recommendations)}"
    yield ""
    yield "# What each column holds. A column that is not named is found by its usual names."
    yield "columns:"
    for table, found in columns.items():
        if found:
            pairs = (f"{what}: {json.dumps(name)}" for what, name in found.items())
            yield f"  {table}: {{{', '.join(pairs)}}}"
    if not any(columns.values()):
        yield "  {}"
    yield "# Also: items: {keep: [brand]} keeps a column, such as a taste of users;"
    yield "# interactions: {min_rating: 4} keeps what users liked."
    yield ""
    yield "images:"
    yield "  # Paths of pictures start from this folder, and no picture outside of it is read."
    root = tables.images or (tables.items if tables.items.is_dir() else tables.items.parent)
    yield f"  folder: {seen_from_here(root)}"
    yield '  background: "#ffffff"  # behind transparent pictures'
    yield "  # remote: true          # reads pictures at s3://, gs:// and https:// addresses"
    yield ""
    yield "# The words around the pictures, and their aspect ratio: sticker, movie, or the path of"
    yield "# a YAML file of your own."
    yield f"scenario: {scenario}"
    yield "model: sticker-64  # or the folder of a model of your own"
    yield "work_dir: var      # runs, caches and the warehouse"
    yield ""
    yield "plan:"
    yield "  max_assets: 100           # pictures of a night"
    yield "  max_assets_per_user: 2"
    yield "  min_interactions: 5       # different items that a user must have"


def _found(
    path: Path, columns: TableColumns, table: str, error: type[PigeonError]
) -> dict[str, str]:
    with open_table(str(path), columns, error) as opened:
        return find_columns(opened, columns, _REQUIRED[table], _OPTIONAL[table], error)


def _usual_file(folder: Path, table: str) -> Path | None:
    """The first file with a usual name; pictures alone are items too."""
    named = (folder / f"{name}{suffix}" for name in _USUAL[table] for suffix in _SUFFIXES)
    found = [path for path in named if path.is_file()]
    if not found and table in _ATOMIC:
        found = sorted(folder.glob(_ATOMIC[table]))
    return found[0] if found else None
