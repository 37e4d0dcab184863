"""Imports a published dataset as catalogue, interactions and sequences.

A night reads `items.parquet` and `interactions.parquet`; `sequences.parquet` keeps the authors'
split. Pictures are linked (or copied) to `images/` beside them, so that the catalogue is complete
without the source.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.data._images import BrokenImage, decode, read_file
from pigeon_rec.data.catalogue import Problem
from pigeon_rec.data.published_dataset import (
    SPLITS,
    MovieFacts,
    PublishedDataset,
    StickerFacts,
    find_images,
    read_published,
)
from pigeon_rec.errors import CatalogueError
from pigeon_rec.runtime.files import real_path, write_parquet

__all__ = ["FIRST_TIME", "ImportSummary", "import_published"]

FIRST_TIME = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""Time of every user's first interaction: the dataset has an order but no times."""

_STEP = dt.timedelta(minutes=1)
_REPORT_EVERY = 50

_ITEMS = pl.Schema(
    dict.fromkeys(
        ("item_id", "title", "semantics", "category", "image_uri", "image_sha256"), pl.String()
    )
)
_EXTRA = {"sticker": ("emotion", "theme"), "movie": ("genres",)}
_INTERACTIONS = pl.Schema(
    {
        **dict.fromkeys(("user_id", "item_id", "group_id"), pl.String()),
        "timestamp": pl.Datetime("us", "UTC"),
    }
)
_SEQUENCES = pl.Schema(
    {
        **dict.fromkeys(("user_id", "group_id"), pl.String()),
        "history_ids": pl.List(pl.String()),
        **dict.fromkeys(("target_id", "split"), pl.String()),
    }
)


@dataclass(frozen=True)
class ImportSummary:
    """Result of an import.

    Attributes:
        scenario: `sticker` or `movie`.
        items: Rows of `items.parquet`.
        users: Users with an interaction.
        interactions: Rows of `interactions.parquet`; repeated items of a user count once.
        sequences: Rows of `sequences.parquet`.
        problems: Items left out for lack of a usable picture, and rows left out with them.
    """

    scenario: str
    items: int
    users: int
    interactions: int
    sequences: int
    problems: tuple[Problem, ...]
    out: str


def import_published(
    folder: Path,
    out: Path,
    images: Path | None = None,
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> ImportSummary:
    """Reads the published layout and writes three parquet files and the pictures to `out`.

    Args:
        folder: Folder of the `.npy` files, or the one above `processed_seq`.
        out: Folder to write to; files of an earlier import are replaced.
        images: Folder of the pictures; by default looked for beside the `.npy` files.
        progress: Called with label, number of pictures checked, and their total.

    Raises:
        CatalogueError: As in `read_published`; or a picture's path leads out of the image folder,
            no item has a usable picture, or `out` cannot be written to.
    """
    dataset = read_published(folder)
    root = find_images(dataset, images)
    _refuse_paths_outside(dataset, root)
    _make_folder(out)
    items, problems = _items(dataset, root, out, progress or (lambda *_: None))
    if items.is_empty():
        shown = [f"{problem.location}: {problem.message}" for problem in problems]
        first = next(iter(shown), str(dataset.folder))
        raise CatalogueError("no item has a usable picture", location=first)
    interactions, unknown = _known(_interactions(dataset), items, ("item_id",))
    sequences, cut = _known(_sequences(dataset), items, ("target_id", "history_ids"))
    for frame, name in ((items, "items"), (interactions, "interactions"), (sequences, "sequences")):
        write_parquet(frame, out / f"{name}.parquet")
    missing = _left_out(unknown, "interactions") + _left_out(cut, "sequences")
    return ImportSummary(
        scenario=dataset.scenario,
        items=items.height,
        users=interactions["user_id"].n_unique(),
        interactions=interactions.height,
        sequences=sequences.height,
        problems=(*problems, *missing),
        out=str(out),
    )


def _refuse_paths_outside(dataset: PublishedDataset, root: Path) -> None:
    """Refuses the whole dataset if any path leads out of the image folder."""
    base = real_path(root)
    for number, path in enumerate(dataset.image_paths):
        try:
            outside = bool(path) and not real_path(base / path).is_relative_to(base)
        except (OSError, ValueError):  # a NUL, a loop of links
            outside = True
        if outside:
            raise CatalogueError(
                f"the file is refused: path {path!r} lies outside the image folder",
                location=f"{dataset.paths_file}[{number}]",
                remedy=f"Every path must stay in {root}, links followed",
            )


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogueError(f"cannot write there: {error.strerror}", location=str(out)) from error


def _items(
    dataset: PublishedDataset, root: Path, out: Path, progress: Callable[[str, int, int], None]
) -> tuple[pl.DataFrame, list[Problem]]:
    """Returns the rows of items with a usable picture, and a problem for each other item."""
    rows, problems = [], []
    for done, (number, facts) in enumerate(sorted(dataset.facts.items()), start=1):
        path = dataset.image_paths[number]
        try:
            data = read_file(path, root)
            decode(data, 8)  # only to check it
            uri = _link(root / path, root, out)
        except BrokenImage as broken:
            location = f"{dataset.paths_file}[{number}]: {path}"
            problems.append(Problem(broken.kind, str(number), location, str(broken)))
        else:
            words = _words(facts, dataset.semantics[number], path)
            digest = hashlib.sha256(data).hexdigest()
            own = {"item_id": str(number), "image_uri": uri, "image_sha256": digest}
            rows.append(own | words)
        if done % _REPORT_EVERY == 0 or done == len(dataset.facts):
            progress("item images", done, len(dataset.facts))
    extra = dict.fromkeys(_EXTRA[dataset.scenario], pl.String())
    return pl.DataFrame(rows, schema=pl.Schema({**_ITEMS, **extra})), problems


def _link(source: Path, root: Path, out: Path) -> str:
    """Links or copies a picture to `out/images` and returns its path relative to `out`."""
    inside = real_path(source).relative_to(real_path(root))
    target = out / "images" / inside
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (target.exists() and target.samefile(source)):
        target.unlink(missing_ok=True)
        try:
            os.link(real_path(source), target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)
    return target.relative_to(out).as_posix()


def _words(facts: StickerFacts | MovieFacts, semantics: str, path: str) -> dict[str, str]:
    """Title, semantics, category and the scenario's own columns."""
    if isinstance(facts, StickerFacts):
        theme = path.partition("/")[0] if "/" in path else ""
        emotion = facts.emo.strip().lower()
        title = facts.text.strip() or semantics
        own = {"title": title, "category": emotion, "emotion": emotion, "theme": theme}
        return {**own, "semantics": semantics}
    genres = "" if facts.genres.startswith("(") else facts.genres  # "(no genres listed)"
    own = {"title": facts.title.strip(), "category": genres.partition("|")[0], "genres": genres}
    return {**own, "semantics": semantics or facts.intro}


def _interactions(dataset: PublishedDataset) -> pl.DataFrame:
    """Every user's items, each once, in order and a minute apart."""

    def rows() -> Iterator[dict[str, Any]]:
        for user, groups in dataset.users.items():
            met: dict[int, str] = {}
            for group, items in groups.items():
                for item in items:
                    met.setdefault(item, str(group))
            for position, (item, group_id) in enumerate(met.items()):
                ids = {"user_id": str(user), "item_id": str(item), "group_id": group_id}
                yield {**ids, "timestamp": FIRST_TIME + position * _STEP}

    return pl.DataFrame(list(rows()), schema=_INTERACTIONS)


def _sequences(dataset: PublishedDataset) -> pl.DataFrame:
    def rows() -> Iterator[dict[str, Any]]:
        for split in SPLITS:
            for user, groups in dataset.windows[split].items():
                for group, windows in groups.items():
                    for *history, target in windows:
                        ids = {"user_id": str(user), "group_id": str(group), "split": split}
                        past = [str(item) for item in history]
                        yield {**ids, "history_ids": past, "target_id": str(target)}

    return pl.DataFrame(list(rows()), schema=_SEQUENCES)


def _known(
    frame: pl.DataFrame, items: pl.DataFrame, columns: tuple[str, ...]
) -> tuple[pl.DataFrame, list[str]]:
    """Returns the rows whose items are all in the catalogue, and the ids that are not."""
    ids = items["item_id"].implode()
    complete, unknown = pl.lit(True), set[str]()
    for name in columns:
        listed = frame.schema[name] == pl.List
        one = pl.element() if listed else pl.col(name)
        is_known = one.is_in(ids)
        complete &= pl.col(name).list.eval(is_known).list.all() if listed else is_known
        named = frame[name].explode() if listed else frame[name]
        unknown |= set(named.unique()) - set(items["item_id"])
    return frame.filter(complete), sorted(unknown)


def _left_out(unknown: list[str], kind: str) -> list[Problem]:
    words = f"{kind} with this item are left out: it is not in the catalogue"
    return [Problem("unknown_item", item, f"{kind}.parquet", words) for item in unknown]
