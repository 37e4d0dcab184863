"""The address of a mirror: its pointer, the nights it holds, and whose it is.

    <address>/owner.json                          the warehouse that writes here
    <address>/current.json                        the pointer: folder and files of the current night
    <address>/date=<night>/version=<unique>/...   one mirrored night

A folder is never written again after the pointer names it, and the pointer is one small file that
is replaced at once: by a rename in a folder, by a single put in an object store.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pigeon_rec.errors import WarehouseError, may_pass
from pigeon_rec.runtime import storage

__all__ = ["MirrorPlace", "Pointer", "Replaced", "Table"]

_POINTER: Final = "current.json"
_OWNER: Final = "owner.json"
_FORMAT: Final = 1
_VERSION: Final = re.compile(r"date=\d{4}-\d{2}-\d{2}/version=[0-9A-Za-z-]+")


class _Facts(BaseModel):
    # Files of a newer version may have more in them.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Table(_Facts):
    """One table of a mirrored night.

    Attributes:
        rows: Number of rows.
        files: Its files, relative to the address.
    """

    rows: int
    files: tuple[str, ...]


class Replaced(_Facts):
    """A night that is kept for the readers that began with it."""

    path: str
    replaced_at: dt.datetime


class Pointer(_Facts):
    """What `current.json` says.

    Attributes:
        format: Number of the layout.
        night: The night, as in `run_id`.
        path: Its folder, relative to the address.
        buckets: Number of buckets of users.
        snapshot: Name of the snapshot that it was read from.
        written_at: When the night was mirrored.
        tables: Its tables by name.
        replaced: Earlier nights whose files are still there.
    """

    format: int = _FORMAT
    night: str
    path: str
    buckets: int
    snapshot: str
    written_at: dt.datetime
    tables: Mapping[str, Table]
    replaced: tuple[Replaced, ...] = ()

    def paths(self) -> list[str]:
        """Returns the folders that readers may be reading."""
        return [self.path, *(night.path for night in self.replaced)]

    def files(self) -> list[str]:
        """Returns all files of the current night, relative to the address."""
        return [name for table in self.tables.values() for name in table.files]

    def without_expired(self, now: dt.datetime, grace: dt.timedelta) -> Self:
        """Returns the pointer without the nights that were replaced longer ago than `grace`."""
        kept = [night for night in self.replaced if now - night.replaced_at < grace]
        return self.model_copy(update={"replaced": tuple(kept)})


class MirrorPlace:
    """One address.

    Args:
        address: An fsspec location.

    Every method raises `WarehouseError` if the address cannot be reached.
    """

    def __init__(self, address: str) -> None:
        self.address: str = storage.canonical_location(address)
        """Canonical form: absolute, with protocol, no slash at its end."""

    def claim(self, warehouse: str) -> None:
        """Marks the address as written by the warehouse of this identity.

        Raises:
            WarehouseError: Another warehouse writes there, or it holds files that are no mirror's.
        """
        owner = self._text(_OWNER)
        if owner is None:
            if found := self._list():
                raise WarehouseError(
                    f"the address of the mirror holds other files, such as {min(found)}",
                    location=self.address,
                    remedy="Give warehouse.mirror_address an empty folder or prefix",
                )
            self.put(_OWNER, f'{{"warehouse": "{warehouse}"}}\n'.encode())
        elif warehouse not in owner:
            raise WarehouseError(
                "the mirror is written by another warehouse",
                location=f"{self.address}/{_OWNER}",
                remedy="Give each warehouse an address of its own, or empty this one",
            )

    def pointer(self) -> Pointer | None:
        """Returns the pointer; None before the first night.

        Raises:
            WarehouseError: The pointer is damaged, or was written by a newer version.
        """
        text = self._text(_POINTER)
        if text is None:
            return None
        try:
            pointer = Pointer.model_validate_json(text)
            known = pointer.format == _FORMAT and all(map(_VERSION.fullmatch, pointer.paths()))
        except ValidationError:
            known = False
        if not known:
            raise WarehouseError(
                "the pointer of the mirror is damaged, or of a newer version",
                location=f"{self.address}/{_POINTER}",
                remedy="Remove it; the next `pigeon-rec nightly promote` mirrors the night again",
            )
        return pointer

    def point(self, pointer: Pointer) -> None:
        """Writes the pointer; from now on readers find its night."""
        if self.address.startswith("file://"):
            os.sync()  # the files that it names
        self.put(_POINTER, pointer.model_dump_json(indent=2).encode() + b"\n")

    def new_version(self, night: str, now: dt.datetime) -> str:
        """Returns an unused folder for a night, relative to the address."""
        return f"date={night}/version={now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"

    def put(self, name: str, content: bytes) -> None:
        """Writes one file."""
        try:
            storage.put_file(f"{self.address}/{name}", content)
        except OSError as error:
            raise self._unreachable("written", error) from error

    def read(self, names: Iterable[str]) -> list[bytes]:
        """Reads files.

        Raises:
            WarehouseError: One of them is missing or cannot be read.
        """
        try:
            return [storage.get_file(f"{self.address}/{name}") for name in names]
        except OSError as error:
            raise self._unreachable("read", error) from error

    def files_of(self, table: str, paths: Sequence[str]) -> list[str]:
        """Returns the files of one table in these folders, relative to the address."""
        folders = tuple(f"{path}/{table}/" for path in paths)
        return [name for name in self._list() if name.startswith(folders)]

    def holds(self, names: Iterable[str]) -> bool:
        """Whether all these files are there."""
        return set(names) <= set(self._list())

    def remove_all_but(self, paths: Sequence[str]) -> int:
        """Removes all other folders of nights, finished or not; returns their number."""
        found = {match[0] for name in self._list() if (match := _VERSION.match(name))}
        return self._remove(found.difference(paths))

    def remove(self) -> int:
        """Removes the whole mirror, the pointer first; returns the number of its nights."""
        # Readers find no night rather than half of one.
        self._remove([_POINTER])
        nights = self.remove_all_but(())
        self._remove([_OWNER])
        return nights

    def _remove(self, paths: Iterable[str]) -> int:
        doomed = [f"{self.address}/{path}" for path in sorted(paths)]
        try:
            storage.remove_folders(doomed)
        except OSError as error:
            raise self._unreachable("cleaned", error) from error
        return len(doomed)

    def _text(self, name: str) -> str | None:
        try:
            return storage.get_file(f"{self.address}/{name}").decode(errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreachable("read", error) from error

    def _list(self) -> list[str]:
        try:
            found = storage.list_files(self.address)
        except OSError as error:
            raise self._unreachable("listed", error) from error
        return [name[len(self.address) + 1 :] for name in found if name.startswith(self.address)]

    def _unreachable(self, verb: str, error: OSError) -> WarehouseError:
        return WarehouseError(
            f"the mirror cannot be {verb}: {error}",
            location=self.address,
            remedy="Check the address and its rights, then run this again; readers of the mirror "
            "keep the night they have",
            retryable=may_pass(error),
        )
