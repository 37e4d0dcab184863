"""SHA-256 of content: of values, tables, files and folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

__all__ = ["digest", "file_sha256", "folder_sha256", "frame_sha256"]

_SLICE_ROWS: Final = 1 << 18


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`: sorted keys, no spaces, UTF-8."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def frame_sha256(frame: pl.DataFrame) -> str:
    """SHA-256 of the rows of a frame, in their order, as one JSON object a line."""
    total = hashlib.sha256(" ".join(frame.columns).encode())
    for part in frame.iter_slices(_SLICE_ROWS):
        total.update(part.write_ndjson().encode())
    return total.hexdigest()


def file_sha256(file: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the relative names and the bytes of all files below `folder`, sorted by name."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(bytes.fromhex(file_sha256(file)))  # a file may be larger than the memory
    return digest.hexdigest()
