"""A model's version: a digest of its files, computed without torch."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.model.paths import model_folder
from pigeon_rec.runtime.digests import folder_sha256

__all__ = ["model_version"]


def model_version(name_or_path: str | Path) -> str:
    """Returns `<folder name>-<12 hex digits>`, of the names and bytes of all files of the model.

    Raises:
        ModelError: There is no such model.
    """
    folder = model_folder(name_or_path)
    return f"{folder.name}-{folder_sha256(folder)[:12]}"
