"""A model's version: a digest of its files, without loading any of them into torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pigeon_rec.model.paths import model_folder

__all__ = ["model_version"]


def model_version(name_or_path: str | Path) -> str:
    """`<folder name>-<12 hex digits>` over names and bytes of all files of the model.

    Raises:
        ModelError: There is no such model.
    """
    folder = model_folder(name_or_path)
    return f"{folder.name}-{_digest(folder)[:12]}"


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
