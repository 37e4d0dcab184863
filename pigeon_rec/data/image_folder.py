"""A folder of pictures as a catalogue: the name of a file without its extension is the item id."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.data.catalogue import REQUIRED_COLUMNS, Catalogue, Problem
from pigeon_rec.errors import CatalogueError
from pigeon_rec.runtime.digests import file_sha256

__all__ = ["ImageFolder", "read_image_folder"]

_EXTENSIONS: Final = (".gif", ".jpeg", ".jpg", ".png", ".webp")


@dataclass(frozen=True)
class ImageFolder:
    """The pictures of a folder that belong to wanted items.

    Attributes:
        catalogue: One item for each wanted id with a picture; texts are empty.
        unknown: Pictures of other ids.
        problems: `duplicate_image` for each further picture of an id, `image_missing` for each
            that cannot be read.
    """

    catalogue: Catalogue
    unknown: int
    problems: list[Problem]


def read_image_folder(folder: Path, item_ids: Collection[str]) -> ImageFolder:
    """Finds the pictures (PNG, JPEG, WebP, GIF) of items in a folder and its subfolders.

    Of several pictures of one id, the first in the order of paths counts.

    Raises:
        CatalogueError: The folder does not exist, or has no pictures.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _EXTENSIONS and path.is_file() and path.name[0] != "."
    )
    if not files:
        raise CatalogueError(
            "there are no pictures in the folder",
            location=str(folder),
            remedy=f"Give a folder of files such as ITEM{_EXTENSIONS[3]}, named by item id; "
            f"known extensions: {', '.join(_EXTENSIONS)}",
        )
    wanted, rows, problems = frozenset(item_ids), dict[str, tuple[str, str]](), list[Problem]()
    unknown = 0
    for path in files:
        if path.stem not in wanted:
            unknown += 1
        elif path.stem in rows:
            message = f"item {path.stem!r} has another picture already; this one is left out"
            problems.append(Problem("duplicate_image", path.stem, str(path), message))
        else:
            try:
                rows[path.stem] = (path.relative_to(folder).as_posix(), file_sha256(path))
            except OSError as error:
                message = f"the picture cannot be read: {error.strerror}"
                problems.append(Problem("image_missing", path.stem, str(path), message))
    items = pl.DataFrame(
        {
            "item_id": list(rows),
            "image_uri": [uri for uri, _ in rows.values()],
            "image_sha256": [sha256 for _, sha256 in rows.values()],
        },
        schema=dict.fromkeys(("item_id", "image_uri", "image_sha256"), pl.String()),
    ).with_columns(pl.lit("").alias(name) for name in ("title", "semantics", "category"))
    return ImageFolder(Catalogue(items.select(REQUIRED_COLUMNS), folder), unknown, problems)
