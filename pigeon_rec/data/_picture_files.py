"""Hashes and checks the pictures of an import, in parallel; unchanged files are not read again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.columns import ImagesConfig
from pigeon_rec.data._images import IMAGE_SUFFIXES, BrokenImage, check, read_file, within_limit
from pigeon_rec.runtime.files import write_bytes, write_parquet

__all__ = ["CheckedPicture", "PictureFiles", "list_pictures"]

_SCHEMA: Final = pl.Schema({"uri": pl.String(), "stamp": pl.String(), "sha256": pl.String()})
_EMBEDDED: Final = "pictures"
_CONNECTIONS: Final = 16


@dataclass(frozen=True)
class CheckedPicture:
    """A picture that was read.

    Attributes:
        uri: Path below the folder of the pictures, or address.
        sha256: SHA-256 of its bytes; empty if it is unusable.
        broken: Why it is unusable.
    """

    uri: str
    sha256: str
    broken: BrokenImage | None = None


class PictureFiles:
    """The pictures of one catalogue.

    Args:
        folder: Folder that paths start from.
        out: Folder of the catalogue, for pictures that come inside the table.
        images: Whether addresses are read.
        memory: Parquet file of hashes of earlier imports; it need not exist.

    Attributes:
        missing: Path of a picture that was asked for and is not there, if any.
    """

    def __init__(self, folder: Path, out: Path, images: ImagesConfig, memory: Path) -> None:
        self.folder = folder
        self.out = out
        self._remote = images.remote
        self._memory = memory
        self._known = _read_memory(memory)
        self._seen: dict[str, tuple[str, str]] = {}
        self._by_stem: dict[str, str] | None = None
        self.missing: str | None = None

    def check(self, pictures: Iterable[str | bytes | None]) -> list[CheckedPicture]:
        """Reads pictures, given as path, address or encoded bytes."""
        workers = _CONNECTIONS if self._remote else os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self._check, pictures))

    def named(self, item_id: str | None) -> str | None:
        """Returns the picture whose file is named by an id, apart from its suffix."""
        if self._by_stem is None:
            self._by_stem = {Path(uri).stem: uri for uri in reversed(list_pictures(self.folder)[0])}
        return None if item_id is None else self._by_stem.get(item_id)

    def root(self, items: pl.DataFrame) -> Path:
        """Returns the folder that the paths of the items start from.

        That is the folder of the catalogue if the pictures came inside the table.
        """
        embedded = items["image_uri"].str.starts_with(f"{_EMBEDDED}/").all()
        return self.out if embedded and not self._seen else self.folder

    def save_memory(self) -> None:
        """Writes the hashes of all usable pictures."""
        rows = [(uri, stamp, sha256) for uri, (stamp, sha256) in self._seen.items()]
        write_parquet(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), self._memory)

    def _check(self, picture: str | bytes | None) -> CheckedPicture:
        if picture is None:
            return CheckedPicture("", "", BrokenImage("image_missing", "there is no picture of it"))
        uri = picture if isinstance(picture, str) else ""
        try:
            if isinstance(picture, bytes):
                return self._embedded(picture)
            uri = self._relative(picture)
            stamp = self._stamp(uri)
            if self._known.get(uri, ("", ""))[0] == stamp:
                sha256 = self._known[uri][1]
            else:
                data = read_file(uri, self.folder, remote=self._remote)
                check(data)
                sha256 = hashlib.sha256(data).hexdigest()
        except BrokenImage as broken:
            if broken.kind == "image_missing":
                self.missing = uri
            return CheckedPicture(uri, "", broken)
        self._seen[uri] = (stamp, sha256)
        return CheckedPicture(uri, sha256)

    def _embedded(self, data: bytes) -> CheckedPicture:
        """Stores a picture of the table as a file, named by its hash."""
        suffix = check(within_limit(data))
        sha256 = hashlib.sha256(data).hexdigest()
        uri = f"{_EMBEDDED}/{sha256[:2]}/{sha256}{suffix}"
        if not (self.out / uri).is_file():
            write_bytes(data, self.out / uri)
        return CheckedPicture(uri, sha256)

    def _relative(self, text: str) -> str:
        """Returns an absolute path as seen from the folder; others are returned as they are."""
        text = text.removeprefix("file://")
        if "://" in text or not text.startswith(("/", "~")):
            return text
        try:
            path = Path(text).expanduser()
            return str(path.resolve().relative_to(self.folder.resolve()))
        except (ValueError, OSError, RuntimeError) as error:
            raise BrokenImage(
                "image_path",
                f"the image lies outside {self.folder}; set the folder that all images lie in",
            ) from error

    def _stamp(self, uri: str) -> str:
        """Size and time of a local file; a remote one is taken as unchanged under its address."""
        if "://" in uri:
            return "remote"
        try:
            facts = (self.folder / uri).stat()
        except (OSError, ValueError):
            return "missing"
        return f"{facts.st_size}-{facts.st_mtime_ns}"


def list_pictures(folder: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Lists the picture files below a folder; hidden ones are skipped.

    Returns:
        Relative paths, sorted; and name and reason of what cannot be read.
    """
    found: list[str] = []
    unread: list[tuple[str, str]] = []

    def cannot_read(error: OSError) -> None:
        unread.append(
            (
                os.path.relpath(error.filename, folder),
                f"the folder cannot be read: {error.strerror}",
            )
        )

    for parent, folders, files in os.walk(folder, onerror=cannot_read):
        folders[:] = [name for name in folders if not name.startswith(".")]
        base = Path(parent).relative_to(folder)
        for name in files:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                path = str(base / name)
                if path.isascii() or _is_unicode(path):
                    found.append(path)
                else:
                    unread.append((ascii(path)[1:-1], "the name of the file is not UTF-8"))
    return sorted(found), sorted(unread)


def _is_unicode(path: str) -> bool:
    """Whether the bytes of the name are UTF-8; other bytes are lone surrogates in it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in path)


def _read_memory(path: Path) -> dict[str, tuple[str, str]]:
    try:
        rows = pl.read_parquet(path, schema=_SCHEMA)
    except (OSError, pl.exceptions.PolarsError):  # only a saving of time
        return {}
    return {uri: (stamp, sha256) for uri, stamp, sha256 in rows.iter_rows()}
