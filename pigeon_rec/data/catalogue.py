"""Item catalogues: texts and pictures of what can be recommended (`items.parquet`).

Pictures are untrusted: limits on bytes and pixels are checked before decoding, paths must stay
inside the catalogue's folder, and contents must match their hash. An unusable picture is reported
as a `Problem` and read as a blank one, and an unusable row is left out and reported; neither stops
a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.columns import WHITE, ImagesConfig
from pigeon_rec.data._images import BrokenImage, decode, read_image
from pigeon_rec.data._rows import first_fault
from pigeon_rec.data.aspect import SQUARE, Aspect
from pigeon_rec.data.world import WORLDS, load_world
from pigeon_rec.errors import CatalogueError, may_pass
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.files import read_parquet, real_path

__all__ = [
    "IMAGES_NOTE",
    "REQUIRED_COLUMNS",
    "Catalogue",
    "Problem",
    "load_catalogue",
]

IMAGES_NOTE = "pigeon_rec.images"
"""Name of the note in an imported `items.parquet` that says where its pictures are."""

REQUIRED_COLUMNS = ("item_id", "title", "semantics", "category", "image_uri", "image_sha256")
_TYPED = {
    **dict.fromkeys(REQUIRED_COLUMNS, pl.String()),
    "image": pl.Binary(),
    "held_out": pl.Boolean(),
}
_SHOWN = 5
_CONNECTIONS = 16


@dataclass(frozen=True)
class Problem:
    """One bad item.

    Attributes:
        kind: Stable code, for example `image_missing` or `unknown_item`.
        subject: Id of the item.
        location: File and row, or the path of the picture.
        message: The reason, as one sentence.
        rows: Number of rows that are left out for it.
    """

    kind: str
    subject: str
    location: str
    message: str
    rows: int = 1


class Catalogue:
    """Items with unique ids in a stable order.

    Attributes:
        items: `REQUIRED_COLUMNS`; `image` (encoded bytes) and `held_out` where the file has them;
            and its further columns of texts, categories, whole numbers and lists of texts, all as
            strings, a list with bars between its texts.
        root: Folder that relative `image_uri` start from; `None` if all bytes are in `items`.
        aspect: Aspect ratio that its pictures are shown in.
        remote: Whether `image_uri` may be an fsspec address.
        background: Colour behind transparent pixels, as `#rrggbb`.
        problems: Rows of the file that were left out: `bad_item` or `duplicate_item`.
    """

    def __init__(
        self,
        items: pl.DataFrame,
        root: Path | None,
        aspect: Aspect = SQUARE,
        problems: Sequence[Problem] = (),
        images: ImagesConfig | None = None,
    ) -> None:
        self.items = items
        self.root = root
        self.aspect = aspect
        self.remote = images is not None and images.remote
        self.background = WHITE if images is None else images.background
        self.problems = tuple(problems)
        self._codes = {item_id: code for code, item_id in enumerate(items["item_id"])}

    def __len__(self) -> int:
        return self.items.height

    @property
    def item_ids(self) -> list[str]:
        """Ids in the order of `items`."""
        return list(self._codes)

    @property
    def text_columns(self) -> list[str]:
        """Columns of `items` that hold strings."""
        return [name for name, kind in self.items.schema.items() if kind == pl.String]

    def code_of(self, item_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Returns row positions in `items`, int64 `[n]`; -1 for an unknown id."""
        codes = (self._codes.get(item_id, -1) for item_id in item_ids)
        return np.fromiter(codes, dtype=np.int64, count=len(item_ids))

    def rows(self, item_ids: Sequence[str]) -> pl.DataFrame:
        """Returns the rows of `items` in the given order, repeats included.

        Raises:
            CatalogueError: An id is unknown; the message names the first few.
        """
        codes = self.code_of(item_ids)
        if (codes < 0).any():
            unknown = [item_ids[i] for i in np.flatnonzero(codes < 0)]
            raise CatalogueError(
                f"{len(unknown)} item ids are not in the catalogue", location=_few(unknown)
            )
        return self.items[codes]

    def images(
        self, item_ids: Sequence[str], size: int | tuple[int, int] = 64
    ) -> tuple[npt.NDArray[np.uint8], list[Problem]]:
        """Decodes pictures and fits them into one size.

        If `aspect` is square, pictures keep their proportions. Otherwise they are stretched to
        fill the size, as in the published model.

        Args:
            item_ids: Known ids, repeats allowed.
            size: Height and width in pixels; one number for a square, as models read them.

        Returns:
            RGB on `background`, uint8 `[n, height, width, 3]`, all white for an unusable picture;
            and one `Problem` for each id with an unusable picture.

        Raises:
            CatalogueError: An id is unknown.
        """
        rows = self.rows(item_ids)
        data = rows["image"] if "image" in rows.columns else [None] * len(rows)
        height, width = (size, size) if isinstance(size, int) else size
        stretch = not self.aspect.is_square
        pixels = np.full((len(rows), height, width, 3), 255, dtype=np.uint8)
        problems: dict[str, Problem] = {}

        def read(row: int, content: bytes | None, item_id: str, uri: str, sha256: str) -> None:
            try:
                encoded = read_image(content, uri, sha256, self.root, remote=self.remote)
                pixels[row] = decode(
                    encoded, (height, width), stretch=stretch, background=self.background
                )
            except BrokenImage as broken:
                location = f"image_uri {uri!r}" + (f" in {self.root}" if self.root else "")
                problems[item_id] = Problem(broken.kind, item_id, location, str(broken))

        facts = rows.select("item_id", "image_uri", "image_sha256")
        columns = (range(len(rows)), data, *facts.iter_columns())
        if self.remote:  # most of the time is spent waiting for answers
            with ThreadPoolExecutor(_CONNECTIONS) as pool:
                list(pool.map(read, *columns))
        else:
            for each in zip(*columns, strict=True):
                read(*each)
        in_order = dict.fromkeys(item_ids)
        return pixels, [problems[item_id] for item_id in in_order if item_id in problems]

    def image_hashes(self, item_ids: Sequence[str]) -> list[str]:
        """Returns what identifies the pixels of each picture, in hexadecimal.

        It is the SHA-256 of the encoded picture, or, on a background other than white, of that and
        the background.

        Raises:
            CatalogueError: An id is unknown.
        """
        hashes: list[str] = self.rows(item_ids)["image_sha256"].to_list()
        if self.background == WHITE:
            return hashes
        return [digest([sha256, self.background]) for sha256 in hashes]


def load_catalogue(source: str | Path, aspect: Aspect = SQUARE) -> Catalogue:
    """Reads and checks a catalogue.

    Rows without an id, a SHA-256 or an `image_uri` are left out, and so are rows with the id of an
    earlier one; see `Catalogue.problems`. Hashes may be in upper case.

    Args:
        source: `bundled` for the stickers of this package, `posters` for its made posters, or the
            path of an `items.parquet`.
        aspect: Aspect ratio of its pictures, from the scenario (`PromptTemplate.aspect`).

    Raises:
        CatalogueError: The file cannot be read, a column is missing or has another type, or no
            row is usable.
    """
    bundled = source in WORLDS
    path = load_world(str(source)).catalogue if bundled else Path(source)
    try:
        items = read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CatalogueError(
            f"cannot read the catalogue: {error}",
            location=str(path.absolute()),
            remedy="Give the path of an items.parquet, or `bundled`",
            retryable=isinstance(error, OSError) and may_pass(error),
        ) from error
    root = None if bundled else real_path(path).parent
    images = _images_note(path)
    if root is not None and images is not None and images.folder is not None:
        root = root / images.folder
    rows, problems = _usable(_typed(items, path), path)
    return Catalogue(rows, root, aspect, problems, images)


def _images_note(path: Path) -> ImagesConfig | None:
    """Returns where the pictures of an imported catalogue are; `None` if the file does not say.

    Raises:
        CatalogueError: The note in the file is damaged.
    """
    note = pl.read_parquet_metadata(path).get(IMAGES_NOTE)
    if note is None:
        return None
    try:
        return ImagesConfig.model_validate_json(note)
    except ValueError as error:
        raise CatalogueError(
            f"the note {IMAGES_NOTE} in the file is damaged", location=str(path)
        ) from error


def _typed(items: pl.DataFrame, path: Path) -> pl.DataFrame:
    missing = [name for name in REQUIRED_COLUMNS if name not in items.columns]
    if missing:
        raise CatalogueError(
            f"columns are missing: {', '.join(missing)}",
            location=str(path),
            remedy=f"A catalogue has {', '.join(REQUIRED_COLUMNS)}",
        )
    types = {name: kind for name, kind in _TYPED.items() if name in items.columns}
    for name, kind in types.items():
        if items.schema[name] != kind:
            raise CatalogueError(
                f"column {name} holds {items.schema[name]}, not {kind}", location=str(path)
            )
    further = [text for name in items.columns if (text := _as_text(items[name])) is not None]
    texts = pl.col("title", "semantics", "category").fill_null("")
    known = items.select(*types).with_columns(texts, pl.col("image_sha256").str.to_lowercase())
    return known.hstack(further)


def _as_text(column: pl.Series) -> pl.Series | None:
    """Returns a column of the user's own as strings; None if it is of no use as such."""
    kind = column.dtype
    if column.name in _TYPED:
        return None
    if kind == pl.List(pl.String):
        return column.list.join("|", ignore_nulls=True)
    is_text = kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum)
    return column.cast(pl.String) if is_text else None


def _usable(items: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, list[Problem]]:
    """Returns the usable rows in their order, and a problem for each other row."""
    fault = first_fault(
        {
            "item_id is empty": pl.col("item_id").fill_null("") == "",
            "image_sha256 is not 64 hexadecimal digits": ~pl.col("image_sha256")
            .str.contains("^[0-9a-f]{64}$")
            .fill_null(value=False),
            "image_uri is null": pl.col("image_uri").is_null(),
        }
    )
    # Without the other columns, whose names may be anything.
    rows = items.select(REQUIRED_COLUMNS).with_row_index("row", offset=1).with_columns(fault)
    usable = rows.filter(pl.col("fault").is_null())
    again = first_fault({"an earlier row has this item_id": ~pl.col("item_id").is_first_distinct()})
    usable = usable.with_columns(again)
    bad, repeated = (frame.drop_nulls("fault") for frame in (rows, usable))
    problems = [
        Problem(kind, item_id or "?", f"{path}, row {row}", f"{words}; the row is left out")
        for frame, kind in ((bad, "bad_item"), (repeated, "duplicate_item"))
        for item_id, row, words in frame.select("item_id", "row", "fault").iter_rows()
    ]
    if usable.is_empty():
        first = f"; the first: {problems[0].message}" if problems else ""
        raise CatalogueError(f"none of the {len(rows)} rows is usable{first}", location=str(path))
    return items[usable.filter(pl.col("fault").is_null())["row"] - 1], problems


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
