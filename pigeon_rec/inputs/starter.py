"""Writes a first `night.yaml` for a team's own tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from pigeon_rec.columns import ColumnsConfig, ItemColumns, TableColumns
from pigeon_rec.data.prompts import is_scenario_file, load_prompt
from pigeon_rec.data.tables import Table, find_columns, listed, open_table
from pigeon_rec.errors import CatalogueError, ConfigError, InteractionError, PigeonError, PlanError
from pigeon_rec.runtime.files import write_text
from pigeon_rec.runtime.settings import check_settings

__all__ = ["TeamTables", "find_tables", "parse_columns", "write_night"]

_SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".dat", ".txt")
_USUAL: Final[Mapping[str, tuple[str, ...]]] = {
    "items": ("items", "products", "articles", "movies", "books", "catalogue", "catalog"),
    "interactions": ("interactions", "events", "clicks", "ratings", "purchases", "transactions"),
    "recommendations": ("recommendations", "top_k", "topk", "recs"),
}
_NO_BREAKS: Final = sys.maxsize
_ATOMIC: Final[Mapping[str, str]] = {"items": ".item", "interactions": ".inter"}
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


def parse_columns(given: Sequence[str]) -> ColumnsConfig:
    """Reads settings of `columns:` that are given as `interactions.time=clicked`.

    Raises:
        ConfigError: One is not written like this, or there is no such setting.
    """
    values: dict[str, dict[str, object]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        table, dot, what = name.partition(".")
        if not (equals and dot):
            raise ConfigError(
                f"{text!r} names no column",
                location="--columns",
                remedy="Write it as --columns interactions.time=COLUMN",
            )
        several = what in ("keep", "names")
        values.setdefault(table, {})[what] = value.split(",") if several else value
    return check_settings(ColumnsConfig, values, "--columns")


def write_night(
    folder: Path,
    tables: TeamTables,
    scenario: str = "sticker",
    group_by: str | None = None,
    columns: ColumnsConfig | None = None,
) -> Path:
    """Writes `folder/night.yaml`, with comments, and returns its path.

    The columns that hold what is needed are found in the tables and written down.

    Args:
        folder: Made if needed.
        tables: The team's own files.
        scenario: Name of a scenario, or path of its file.
        group_by: Column of the items whose equal values mark items that show the same thing.
        columns: What is known of the tables; the rest is found.

    Raises:
        ConfigError: The file exists already, or there is no such column or scenario.
        PigeonError: A table cannot be read, or lacks a column.
    """
    path = folder / "night.yaml"
    if path.exists():
        raise ConfigError(
            "there is a night.yaml already",
            location=str(path.absolute()),
            remedy="Check it with `pigeon-rec check`, or remove it",
        )
    load_prompt(scenario)
    known = columns or ColumnsConfig()
    found = {
        "items": {} if tables.items.is_dir() else _found_items(tables.items, known.items, group_by),
        "interactions": _found(
            tables.interactions, known.interactions, "interactions", InteractionError
        ),
    }
    if tables.recommendations is not None:
        found["recommendations"] = _found(
            tables.recommendations, known.recommendations, "recommendations", PlanError
        )
    words = _seen_from(folder, scenario) if is_scenario_file(scenario) else scenario
    lines = [*_lines(folder, tables, found), *_settings(words, group_by)]
    write_text("\n".join(lines) + "\n", path)
    return path


def _lines(
    folder: Path, tables: TeamTables, columns: Mapping[str, Mapping[str, object]]
) -> Iterator[str]:
    def seen_from_here(path: Path) -> str:
        return _quoted(_seen_from(folder, path))

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
            yield f"  {table}: {_quoted(found)}"
            lacking = [what for what in _OPTIONAL[table] if what not in found]
            if lacking:
                yield f"  # no column was found for: {', '.join(lacking)}"
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


def _settings(scenario: str, group_by: str | None) -> Iterator[str]:
    yield ""
    yield "# The words around the pictures, and their aspect ratio: sticker, movie, or the path of"
    yield "# a YAML file of your own."
    yield f"scenario: {_quoted(scenario)}"
    yield "model: sticker-64  # or the folder of a model of your own"
    yield "work_dir: var      # runs, caches and the warehouse"
    yield ""
    yield "plan:"
    yield "  max_assets: 100           # pictures of a night"
    yield "  max_assets_per_user: 2"
    yield "  min_interactions: 5       # different items that a user must have"
    yield ""
    yield "# Items with equal values of this column show the same thing, in different designs."
    yield "# A recommender that is trained for the night takes them as one item."
    column = "COLUMN" if group_by is None else _quoted(group_by)
    yield f"{'# ' if group_by is None else ''}recommender: {{group_by: {column}}}"


def _found_items(path: Path, columns: ItemColumns, group_by: str | None) -> dict[str, object]:
    with open_table(str(path), columns, CatalogueError) as opened:
        if group_by is not None and group_by not in opened.columns:
            raise ConfigError(
                f"there is no column {group_by!r}; the table has {listed(opened.columns)}",
                location=f"{opened.location}; --group-by",
            )
        return _columns_of(opened, columns, "items", CatalogueError)


def _found(
    path: Path, columns: TableColumns, table: str, error: type[PigeonError]
) -> dict[str, object]:
    with open_table(str(path), columns, error) as opened:
        return _columns_of(opened, columns, table, error)


def _columns_of(
    opened: Table, columns: TableColumns, table: str, error: type[PigeonError]
) -> dict[str, object]:
    """The columns of a table, and what else is said about it."""
    remedy = f"Name it: --columns {table}.WHAT=COLUMN (may be repeated)"
    found = find_columns(opened, columns, _REQUIRED[table], _OPTIONAL[table], error, remedy)
    return {**found, **columns.model_dump(mode="json", exclude_defaults=True)}


def _seen_from(folder: Path, path: str | Path) -> str:
    """The path relative to the folder, links followed, as `..` follows them."""
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder))


def _quoted(value: object) -> str:
    """A text, or a mapping of texts, as a YAML value on one line, the texts in quotes."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{what}: {_quoted(part)}' for what, part in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_quoted, value))}]"
    if not isinstance(value, str):
        return str(value)
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=_NO_BREAKS).strip()


def _usual_file(folder: Path, table: str) -> Path | None:
    """The first file with a usual name, in upper or lower case; for RecBole's, its suffix."""
    names = [f"{name}{suffix}" for name in _USUAL[table] for suffix in _SUFFIXES]
    names += [f"{name}.gz" for name in names]
    files = sorted(path for path in folder.glob("*") if path.is_file())
    named = [path for path in files if path.name.lower() in names]
    if named:
        return min(named, key=lambda path: names.index(path.name.lower()))
    return next((path for path in files if path.suffix == _ATOMIC.get(table)), None)
