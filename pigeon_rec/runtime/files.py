"""Atomic writes: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "current_folder",
    "replacing",
    "replacing_folder",
    "write_bytes",
    "write_json",
    "write_parquet",
    "write_text",
]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success the file written there replaces `path`.

    The temporary file is removed if the block raises. Missing parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two writers apart; the same folder keeps the rename atomic. The suffix
    # stays last, because some writers derive the format from it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder`; on success it replaces `folder`.

    It is removed if the block raises. Folders cannot be swapped in one step: a process killed
    between two renames leaves the old folder under another name, where `current_folder` finds it.
    Only one process may write a folder at a time; it removes what a killed one left behind.
    """
    fresh, old = _beside(folder, "new"), _beside(folder, "old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.replace(old)
        fresh.replace(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def current_folder(folder: Path) -> Path | None:
    """Returns where the content of `folder` is now: there, or under the name of the old one.

    Returns `None` if `replacing_folder` never finished writing it.
    """
    return next((path for path in (folder, _beside(folder, "old")) if path.exists()), None)


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")


def write_bytes(content: bytes, path: Path) -> None:
    """Writes bytes atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(text: str, path: Path) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(value: Mapping[str, object], path: Path) -> None:
    """Writes indented JSON with sorted keys atomically."""
    write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", path)


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Writes a frame as parquet atomically."""
    with replacing(path) as temporary:
        frame.write_parquet(temporary)
