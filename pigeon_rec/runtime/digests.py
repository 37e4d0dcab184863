"""SHA-256 digests of values, tables, files and folders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "NOTES",
    "canonical_json",
    "digest",
    "file_sha256",
    "folder_sha256",
    "frame_sha256",
    "weights_sha256",
]

NOTES: Final = frozenset({"README.md", "evaluation.json", ".gitattributes"})
"""Files of a model folder that tell about the model and change no picture."""

_SLICE_ROWS: Final = 1 << 18


def canonical_json(value: object) -> str:
    """Returns `value` as JSON with sorted keys and without spaces."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: object) -> str:
    """Returns the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def frame_sha256(frame: pl.DataFrame) -> str:
    """Returns the SHA-256 of the rows of a frame in their order, as one JSON object per line."""
    total = hashlib.sha256(" ".join(frame.columns).encode())
    for part in frame.iter_slices(_SLICE_ROWS):
        total.update(part.write_ndjson().encode())
    return total.hexdigest()


def file_sha256(file: Path) -> str:
    """Returns the SHA-256 of the bytes of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str:
    """Returns the digest of a model folder, as `folder_sha256` without the card (`NOTES`)."""
    return folder_sha256(folder, leave_out=NOTES)


def folder_sha256(folder: Path, *, leave_out: Collection[str] = ()) -> str:
    """Returns the SHA-256 of relative names and bytes of all files below `folder`, by name.

    `leave_out` are relative names.
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name in leave_out:
            continue
        digest.update(name.encode())
        digest.update(bytes.fromhex(file_sha256(file)))  # without reading a file into memory
    return digest.hexdigest()
