"""Reads the dataset layout of Pigeon's authors: stickers (SER-30K) or movies (MovieLens).

A folder of `.npy` files of dicts and lists: picture path and semantics of every item by its number,
facts about the items, every user's items per group (a theme or genre) in order, and windows of five
history items and a target, split 8:1:1 (arXiv 2410.14170, section 4.1). The layout's features,
token ids and preference pairs belong to other models and are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from pigeon_rec.data.npy_files import load_npy
from pigeon_rec.errors import CatalogueError

__all__ = [
    "SPLITS",
    "MovieFacts",
    "PublishedDataset",
    "StickerFacts",
    "find_images",
    "read_published",
]

SPLITS = ("train", "valid", "test")


def _absent_is_empty(value: object) -> object:
    """Turns pandas' missing values (None or NaN) into an empty text."""
    return "" if value is None or value != value else value


Words = Annotated[str, BeforeValidator(_absent_is_empty)]
Item = Annotated[int, Field(ge=0)]
Window = Annotated[list[Item], Field(min_length=2)]
Groups = dict[int | str, dict[int | str, list[Item]]]
Windows = dict[int | str, dict[int | str, list[Window]]]
T = TypeVar("T")


class StickerFacts(BaseModel):
    """Entry of a sticker in `mapped_anno_dict.npy`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    emo: Words
    text: Words = ""


class MovieFacts(BaseModel):
    """Entry of a movie in `mapped_movies.npy`; genres are separated by `|`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: Words
    genres: Words = ""
    intro: Words = ""


@dataclass(frozen=True)
class _Layout:
    facts: str
    users: str
    semantics: str
    images: str
    kind: type[StickerFacts] | type[MovieFacts]


_LAYOUTS: Mapping[str, _Layout] = MappingProxyType(
    {
        "sticker": _Layout(
            "mapped_anno_dict", "mapped_user_dict", "sticker_semantics", "Images", StickerFacts
        ),
        "movie": _Layout("mapped_movies", "user_seq_dict", "movie_semantics", "poster", MovieFacts),
    }
)
"""File names of each scenario, without `.npy`, and its folder of pictures."""


@dataclass(frozen=True)
class PublishedDataset:
    """A published dataset, checked file by file.

    Attributes:
        scenario: `sticker` or `movie`.
        folder: Folder of the `.npy` files.
        image_paths: Path of each item's picture below the image folder; empty for none.
        semantics: Each item's description; empty for none.
        facts: Item number -> its entry.
        users: User -> group -> items in the order of interaction.
        windows: Split -> user -> group -> windows, the last item of each being the target.
    """

    scenario: str
    folder: Path
    image_paths: list[str]
    semantics: list[str]
    facts: Mapping[int, StickerFacts | MovieFacts]
    users: Groups
    windows: Mapping[str, Windows]

    @property
    def paths_file(self) -> Path:
        """The file of the picture paths."""
        return self.folder / "all_image_paths.npy"


def read_published(folder: Path) -> PublishedDataset:
    """Reads the `.npy` files of `folder`, or of its `processed_seq`; nothing in them is run.

    Raises:
        CatalogueError: A file is missing, refused (see `load_npy`) or of another form, or the files
            disagree on the number of items; the message names the file and the entry.
    """
    folder = _processed(folder)
    scenario, layout = _layout(folder)
    image_paths = _read(folder, "all_image_paths", list[Words])
    semantics = _read(folder, layout.semantics, list[Words])
    facts: dict[int, Any] = _read(folder, layout.facts, dict[Item, layout.kind])  # type: ignore[name-defined]
    count = len(image_paths)
    _same_count(folder / f"{layout.semantics}.npy", len(semantics), count)
    _same_count(folder / f"{layout.facts}.npy", max(facts, default=-1) + 1, count, at_most=True)
    return PublishedDataset(
        scenario,
        folder,
        image_paths,
        semantics,
        facts,
        _read(folder, layout.users, Groups),
        {split: _read(folder, split, Windows) for split in SPLITS},
    )


def find_images(dataset: PublishedDataset, images: Path | None = None) -> Path:
    """Returns the folder of pictures: `images`, or the published name beside the `.npy` files.

    Raises:
        CatalogueError: There is no such folder.
    """
    name = _LAYOUTS[dataset.scenario].images
    known = [images] if images else [dataset.folder.parent / name, dataset.folder / name]
    for folder in known:
        if folder.is_dir():
            return folder
    raise CatalogueError(
        "there is no folder of pictures",
        location=", ".join(map(str, known)),
        remedy="Give it with --images",
    )


def _processed(folder: Path) -> Path:
    inner = folder / "processed_seq"
    return inner if inner.is_dir() else folder


def _layout(folder: Path) -> tuple[str, _Layout]:
    found = [s for s, known in _LAYOUTS.items() if (folder / f"{known.facts}.npy").is_file()]
    if len(found) != 1:
        names = " or ".join(f"{known.facts}.npy" for known in _LAYOUTS.values())
        raise CatalogueError(
            "not a published dataset" if not found else "stickers and movies in one folder",
            location=str(folder),
            remedy=f"Give a folder with {names}, or the one above it",
        )
    return found[0], _LAYOUTS[found[0]]


def _read(folder: Path, name: str, form: Any) -> Any:
    path = folder / f"{name}.npy"
    value = load_npy(path)
    try:
        return TypeAdapter(form).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        entry = "".join(f"[{part!r}]" for part in first["loc"])
        raise CatalogueError(
            f"the file has an unexpected form: {first['msg']} (and {error.error_count() - 1} more)",
            location=f"{path}{entry}",
            remedy="Compare it with the layout in docs/published.md",
        ) from error


def _same_count(path: Path, found: int, count: int, *, at_most: bool = False) -> None:
    if found > count or (found != count and not at_most):
        raise CatalogueError(
            f"the file has {found} items, all_image_paths.npy has {count}", location=str(path)
        )
