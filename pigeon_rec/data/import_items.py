"""Imports items from a table of any usual format, or from a folder of pictures, as a catalogue.

Local pictures stay where they are, and the catalogue holds their paths. Every picture is read once
to hash and check it. Items without a usable picture are left out and listed.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

from pigeon_rec.columns import ImagesConfig, ItemColumns
from pigeon_rec.data._images import IMAGE_SUFFIXES
from pigeon_rec.data._picture_files import CheckedPicture, PictureFiles, list_pictures
from pigeon_rec.data.catalogue import IMAGES_NOTE, REQUIRED_COLUMNS, Problem
from pigeon_rec.data.tables import Table, check_source, find_columns, listed, open_table, values
from pigeon_rec.errors import CatalogueError
from pigeon_rec.runtime.files import write_parquet
from pigeon_rec.runtime.progress import Progress, silent

__all__ = ["ItemImport", "import_items"]

_BATCH: Final = 2048
_OFTEN: Final = ("theme", "style", "emotion", "genres", "concept")
_TEXTS: Final = ("title", "text", "category")
_SCHEMA: Final = pl.Schema(dict.fromkeys(REQUIRED_COLUMNS, pl.String()))
_OWN: Final[Mapping[str, str]] = MappingProxyType(
    {"id": "item_id", "title": "title", "text": "semantics", "category": "category",
     "image": "image_uri"}
)  # fmt: skip
"""What -> its column in a catalogue."""
_RESERVED: Final = (*REQUIRED_COLUMNS, "image", "held_out")
_PROBLEM_SCHEMA: Final = pl.Schema(
    dict.fromkeys(("kind", "subject", "location", "message"), pl.String())
)


@dataclass(frozen=True)
class ItemImport:
    """Result of an import of items.

    Attributes:
        path: The `items.parquet` that was written.
        refused: Parquet file of the rows that were left out, as problems.
        columns: What -> the column of the table that was read for it.
        notes: How the table was read.
        rows: Rows of the table, or pictures of the folder.
        items: Items written.
        problems: Rows left out, by kind of problem.
        first_problems: The first few of them.
    """

    path: Path
    refused: Path
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    rows: int
    items: int
    problems: Mapping[str, int]
    first_problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Rows:
    """The rows of a table with our column names, in parts, and the lines that cannot be read."""

    parts: Iterator[pl.DataFrame]
    count: int
    location: str
    columns: Mapping[str, str]
    notes: tuple[str, ...]
    lines: tuple[Problem, ...]


def import_items(
    source: str,
    out: Path,
    columns: ItemColumns | None = None,
    images: ImagesConfig | None = None,
    *,
    also: Sequence[str] = (),
    progress: Progress = silent,
) -> ItemImport:
    """Writes the catalogue `out/items.parquet`, and what was left out as `out/refused.parquet`.

    Args:
        source: A table (path, or query of `columns.database`) or a folder of pictures. In a folder,
            the id is the file's name without suffix, and the category its first subfolder.
        out: Folder to write to.
        columns: Columns of the table.
        images: Where the pictures are. By default paths start from the folder of the table.
        also: Further columns to keep where the table has them.
        progress: Receives the number of items read.

    Raises:
        CatalogueError: The table cannot be read, a column is missing, no item is usable, or the
            table is one of the files to write.
    """
    columns, images = columns or ItemColumns(), images or ImagesConfig()
    path, memory = Path(source), out / "picture_hashes.parquet"
    target, refused = out / "items.parquet", out / "refused.parquet"
    check_source(source, columns, (target, refused, memory), CatalogueError)
    is_folder = columns.database is None and os.path.isdir(path)  # noqa: PTH112 - any text may come
    folder = images.folder or _folder_of(path, columns, is_folder=is_folder)
    if not folder.is_dir():
        raise CatalogueError("there is no such folder of images", location=str(folder.absolute()))
    pictures = PictureFiles(folder, out, images, memory)
    with tempfile.TemporaryDirectory(prefix="pigeon-import-") as scratch:
        rows = (
            _of_folder(path)
            if is_folder
            else _of_table(source, columns, images, (*also, *_OFTEN), Path(scratch, "rows.parquet"))
        )
        items, problems = _checked(rows, pictures, progress)
    if not rows.count and not problems:
        what = f"the folder has no picture ({', '.join(IMAGE_SUFFIXES)})"
        raise CatalogueError(
            what if is_folder else "there are no rows to import", location=rows.location
        )
    if items.is_empty():
        first = f"; the first: {problems[0].message} [{problems[0].location}]" if problems else ""
        count = rows.count + len(rows.lines)
        pictureless = any(problem.kind in ("image_missing", "image_path") for problem in problems)
        raise CatalogueError(
            f"none of {count} items is usable{first}",
            location=rows.location,
            remedy=_where_else(folder, pictures.missing) if pictureless else None,
        )
    note = images.model_copy(update={"folder": _relative(pictures.root(items), out)})
    pictures.save_memory()
    listed = [(p.kind, p.subject, p.location, p.message) for p in problems]
    write_parquet(pl.DataFrame(listed, schema=_PROBLEM_SCHEMA, orient="row"), refused)
    write_parquet(items, target, metadata={IMAGES_NOTE: note.model_dump_json()})
    return ItemImport(
        path=target,
        refused=refused,
        columns=rows.columns,
        notes=rows.notes,
        rows=rows.count,
        items=items.height,
        problems=_counts(problems),
        first_problems=tuple(problems[:5]),
    )


def _where_else(folder: Path, missing: str | None) -> str:
    """What to do where no picture was found: names a folder below that has one of them."""
    elsewhere = "name another folder with --images, or in the YAML file as images.folder"
    name = Path(missing or "").name
    below = (Path(uri) for uri in list_pictures(folder)[0])
    found = next((uri.parent for uri in below if uri.name == name), None)
    there = "" if found is None else f" (there is a file {name!r} in {folder / found})"
    return f"Pictures are read in {folder}{there}; {elsewhere}"


def _folder_of(path: Path, columns: ItemColumns, *, is_folder: bool) -> Path:
    if columns.database is not None:
        return columns.database.absolute().parent
    return path if is_folder else path.absolute().parent


def _of_folder(folder: Path) -> _Rows:
    found, unread = list_pictures(folder)
    problems = tuple(
        Problem("image_path", "?", f"{folder}, {name!r}", f"{why}; left out")
        for name, why in unread
    )
    parts = [Path(uri).parts for uri in found]
    stems = [Path(uri).stem for uri in found]
    titles = [" ".join(stem.replace("_", " ").replace("-", " ").split()) for stem in stems]
    frame = pl.DataFrame(
        {
            "row": range(1, len(found) + 1),
            "id": stems,
            "title": titles,
            "text": titles,
            "category": [part[0] if len(part) > 1 else "" for part in parts],
            "image": found,
        },
        schema_overrides=dict.fromkeys(("id", "title", "text", "category", "image"), pl.String()),
    )
    return _Rows(frame.iter_slices(_BATCH), len(found), str(folder), {}, (), problems)


def _of_table(
    source: str, columns: ItemColumns, images: ImagesConfig, also: Sequence[str], scratch: Path
) -> _Rows:
    """Writes the rows with our names and types to a scratch file, and reads it in parts."""
    with open_table(source, columns, CatalogueError) as table:
        found = find_columns(table, columns, ("id",), ("image", *_TEXTS), CatalogueError)
        if "image" not in found and images.folder is None:
            raise CatalogueError(
                f"no column holds the image; the table has {listed(table.columns)}",
                location=table.location,
                remedy="Name it, or name the folder of images whose files are named by the ids",
            )
        kept = _kept(table, columns, also, found)
        # Names of the table may be anything, so they stay out of the statement.
        named = {**found, **{f"keep_{place}": name for place, name in enumerate(kept)}}
        raw = table.relation.select(
            *(table.columns[column][0].alias(what) for what, column in named.items())
        ).select("*, row_number() OVER () AS row")
        written = [
            text
            for what, column in named.items()
            for text in _values(what, table.columns[column][1], table.location)
        ]
        raw.select(", ".join(["row", *written])).write_parquet(str(scratch), row_group_size=_BATCH)
        lines = tuple(
            Problem("bad_item", "?", f"{table.location}, line {line}", f"{message}; left out")
            for line, message in table.rejected_lines()
        )
        rows = pl.scan_parquet(scratch)
        count = int(rows.select(pl.len()).collect().item())
        starts = range(0, count, _BATCH)
        names = {f"keep_{place}": f"keep_{name}" for place, name in enumerate(kept)}
        parts = (rows.slice(start, _BATCH).collect().rename(names) for start in starts)
        return _Rows(parts, count, table.location, found, table.notes, lines)


def _kept(
    table: Table, columns: ItemColumns, also: Sequence[str], found: Mapping[str, str]
) -> list[str]:
    """The further columns: those to keep by name, and those of `also` that the table has."""
    missing = [name for name in columns.keep if name not in table.columns]
    if missing:
        raise CatalogueError(
            f"there is no column {missing[0]!r} to keep; the table has {listed(table.columns)}",
            location=table.location,
        )
    own = {**dict.fromkeys(_RESERVED), **{_OWN[what]: name for what, name in found.items()}}
    taken = [name for name in columns.keep if name in own and own[name] != name]
    if taken:
        raise CatalogueError(
            f"column {taken[0]!r} cannot be kept: a catalogue has one of its own with this name",
            location=table.location,
            remedy="Give it another name in the table",
        )
    further = dict.fromkeys((*columns.keep, *(name for name in also if name in table.columns)))
    return [name for name in further if name not in own]


def _values(what: str, kind: str, location: str) -> list[str]:
    """The value of a column as SQL, with its name; a picture may have bytes and a path."""
    if what == "id":
        if not values.holds_ids(kind):
            raise CatalogueError(f"the column of the ids holds {kind}", location=location)
        return [f"{values.id_text(what, kind)} AS id"]
    if what != "image":
        return [f"{values.text(what, kind)} AS {what}"]
    value = what
    if kind.endswith("[]"):  # several pictures of an item: the first
        value, kind = "image[1]", kind.removesuffix("[]")
    if kind == "BLOB":
        return [f"{value} AS image"]
    if not kind.startswith("STRUCT"):
        return [f"{values.text(value, kind)} AS image"]
    # As in Hugging Face data sets.
    parts = []
    if re.search(r"[(, ]\"?bytes\"? BLOB", kind):
        parts.append(f"{value}.bytes AS image")
    if re.search(r"[(, ]\"?path\"? VARCHAR", kind):
        path = values.text(f"{value}.path", "VARCHAR")
        parts.append(f"{path} AS {'image_path' if parts else 'image'}")
    if not parts:
        raise CatalogueError(
            f"the column of the images holds {kind}, without `bytes` or `path`", location=location
        )
    return parts


def _checked(
    rows: _Rows, pictures: PictureFiles, progress: Progress
) -> tuple[pl.DataFrame, list[Problem]]:
    """Returns the usable rows as a catalogue, and a problem for each other row and line."""
    problems = list(rows.lines)
    usable: list[pl.DataFrame] = []
    taken: set[str] = set()
    done = 0
    for part in rows.parts:
        checked = pictures.check(_given(part, pictures))
        keep = []
        for (row, item_id), picture in zip(
            part.select("row", "id").iter_rows(), checked, strict=True
        ):
            problem = _fault(f"{rows.location}, row {row}", item_id, picture, taken)
            keep.append(problem is None)
            if problem is None:
                taken.add(item_id)
            else:
                problems.append(problem)
        usable.append(_items(part, checked).filter(pl.Series(keep, dtype=pl.Boolean)))
        done += part.height
        progress("items", done, rows.count)
    return pl.concat(usable) if usable else pl.DataFrame(schema=_SCHEMA), problems


def _given(part: pl.DataFrame, pictures: PictureFiles) -> list[str | bytes | None]:
    """The picture of each row: its bytes, or else its path or address."""
    if "image" not in part.columns:
        return [pictures.named(item_id) for item_id in part["id"]]
    if "image_path" not in part.columns:
        return part["image"].to_list()
    both = part.select("image", "image_path").iter_rows()
    return [path if content is None else content for content, path in both]


def _fault(
    location: str, item_id: str | None, picture: CheckedPicture, taken: set[str]
) -> Problem | None:
    if item_id is None:
        return Problem("bad_item", "?", location, "the id is missing; the row is left out")
    if picture.broken is not None:
        kind, words = picture.broken.kind, str(picture.broken)
        named = f", image {picture.uri!r}" if picture.uri else ""
        return Problem(kind, item_id, location + named, f"{words}; the item is left out")
    if item_id in taken:
        words = "an earlier row has this id; the row is left out"
        return Problem("duplicate_item", item_id, location, words)
    return None


def _items(part: pl.DataFrame, checked: list[CheckedPicture]) -> pl.DataFrame:
    """Rows of a catalogue; an item without title has its id as the title."""
    texts = {name: pl.col(name) if name in part.columns else pl.lit(None) for name in _TEXTS}
    title = pl.coalesce(texts["title"], pl.col("id"))
    further = [name for name in part.columns if name.startswith("keep_")]
    return part.select(
        pl.col("id").alias("item_id"),
        title.cast(pl.String).alias("title"),
        pl.coalesce(texts["text"], title).cast(pl.String).alias("semantics"),
        texts["category"].cast(pl.String).fill_null("").alias("category"),
        pl.Series("image_uri", [picture.uri for picture in checked], dtype=pl.String),
        pl.Series("image_sha256", [picture.sha256 for picture in checked], dtype=pl.String),
        *(pl.col(name).alias(name.removeprefix("keep_")) for name in further),
    )


def _relative(folder: Path, out: Path) -> Path:
    """The folder as seen from the catalogue if it lies beside it, so that both can be moved."""
    # Unlike `resolve`, this knows links in a loop, of which the writing will tell.
    folder, out = Path(os.path.realpath(folder)), Path(os.path.realpath(out))
    near = folder.is_relative_to(out.parent)
    return Path(os.path.relpath(folder, out)) if near else folder


def _counts(problems: list[Problem]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for problem in problems:
        counts[problem.kind] = counts.get(problem.kind, 0) + 1
    return counts
