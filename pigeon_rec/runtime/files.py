"""Files that are written whole or not at all: a reader sees the old file or the new one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["replacing", "write_bytes", "write_json", "write_parquet", "write_text"]


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
