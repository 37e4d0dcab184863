"""The content hash of a folder: what tells one set of files from another, wherever it lies."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["folder_sha256"]


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the relative names and the bytes of all files below `folder`, sorted by name."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
