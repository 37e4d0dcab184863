"""Writes the published dataset layout at a small scale: real stickers, numpy's own files.

The names and forms are those of the released datasets; their content is made from the bundled
stickers. The same pictures serve as "posters" of the movie layout.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from pigeon_rec.data.world import load_world

__all__ = ["HISTORY", "save", "write_movies", "write_stickers"]

HISTORY = 5
_ITEMS = 12
_EMOTIONS = ("Happiness", "Neutral", "Sadness")


def save(folder: Path, name: str, value: Any) -> Path:
    """As the authors' scripts save dicts: `np.save` of an array around the object."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npy"
    np.save(path, np.array(value))
    return path


def write_stickers(root: Path) -> Path:
    """`root/processed_seq` and `root/Images/<theme>/<name>.png`; returns `root`."""
    stickers = _some_stickers()
    paths = _write_pictures(root / "Images", stickers, lambda theme, name: f"{theme}/{name}.png")
    folder = root / "processed_seq"
    save(folder, "all_image_paths", paths)
    save(folder, "sticker_semantics", [f"a sticker of {t}" for t in stickers["title"]])
    facts = {
        np.int64(i): {"emo": _EMOTIONS[i % 3], "text": "hi!" if i == 0 else ""}
        for i in range(_ITEMS)
    }
    save(folder, "mapped_anno_dict", facts)
    _save_users(folder, "mapped_user_dict")
    return root


def write_movies(root: Path) -> Path:
    """`root/processed_seq` and `root/poster/<number>.png`; returns `root`."""
    stickers = _some_stickers()
    paths = _write_pictures(root / "poster", stickers, lambda _, name: f"{name}.png")
    folder = root / "processed_seq"
    # Texts of very different lengths: saved as objects, as pandas columns are.
    texts = [f"A film about {t}." * (1 + i) for i, t in enumerate(stickers["title"])]
    save(folder, "all_image_paths", np.array(paths, dtype=object))
    save(folder, "movie_semantics", np.array([*texts[:-1], None], dtype=object))
    facts = {
        i: {
            "title": f"{title.title()} ({1980 + i})",
            "genres": "Action|Comedy" if i else "(no genres listed)",
            "intro": f"All about {title}.",
        }
        for i, title in enumerate(stickers["title"])
    }
    save(folder, "mapped_movies", facts)
    _save_users(folder, "user_seq_dict")
    return root


def _some_stickers() -> pl.DataFrame:
    return load_world("bundled").artwork().filter(pl.col("style") == "noto").head(_ITEMS)


def _write_pictures(folder: Path, stickers: pl.DataFrame, named: Any) -> list[str]:
    paths = []
    for number, (category, image) in enumerate(stickers.select("category", "image").iter_rows()):
        paths.append(named(category, f"{number:04}"))
        target = folder / paths[-1]
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(io.BytesIO(image)) as picture:
            picture.convert("RGB").save(target)
    return paths


def _save_users(folder: Path, name: str) -> None:
    """Two users: one of a single group, one whose groups share an item."""
    users = {7: {3: list(range(9))}, 8: {3: list(range(3, 10)), 4: [9, 10, 11, 0, 1, 2]}}
    save(folder, name, users)
    windows = {
        user: {group: list(_windows(items)) for group, items in groups.items()}
        for user, groups in users.items()
    }
    save(folder, "train", windows)
    save(folder, "valid", {7: {3: [list(range(HISTORY + 1))]}})
    save(folder, "test", {8: {4: [[9, 10, 11, 0, 1, 2]]}})
    # What other models made of the data lies beside it, and is not for us.
    save(folder, "all_clip_feats", np.zeros((_ITEMS, 4), dtype=np.float32))


def _windows(items: Iterable[int]) -> Iterable[list[int]]:
    items = list(items)
    return (items[i : i + HISTORY + 1] for i in range(len(items) - HISTORY))
