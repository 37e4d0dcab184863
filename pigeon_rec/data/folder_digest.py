"""Content hashes of files and folders: what tells one from another, wherever it lies."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["file_sha256", "folder_sha256"]


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
