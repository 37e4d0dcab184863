"""Exchange of a night's files between machines that share no disk, through an fsspec location.

The machine with the warehouse plans, sends the plan to `<location>/<date>/` and fetches the shards
from there before it publishes. A drawing machine fetches the plan into its own work directory and
sends each finished shard. Files are put whole, so no reader sees part of one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pigeon_rec.errors import PlanError
from pigeon_rec.runtime.files import write_bytes
from pigeon_rec.runtime.storage import get_file, put_file

__all__ = ["ExchangeError", "fetch", "send"]

_DISK: Final = "disk"
"""The address of machines that share the work directory: nothing is copied."""


class ExchangeError(PlanError):
    """Raised if the location cannot be reached; a retry may help."""

    retryable = True


def send(address: str, night: Path, files: Iterable[Path]) -> None:
    """Sends the existing ones of the files, in their order, to the other machines.

    Args:
        address: The setting `exchange`.
        night: Folder of the night, named by its date.
        files: Files inside it.

    Raises:
        ExchangeError: The location cannot be written.
    """
    for file, location in _locations(address, night, files):
        if file.is_file():
            content = file.read_bytes()
            with _reachable(address, "written"):
                put_file(location, content)


def fetch(address: str, night: Path, files: Iterable[Path]) -> None:
    """Fetches the files that were sent, replacing local ones; the others stay as they are.

    Raises:
        ExchangeError: The location cannot be read.
    """
    for file, location in _locations(address, night, files):
        content: bytes | None = None
        with _reachable(address, "read"), contextlib.suppress(FileNotFoundError):
            content = get_file(location)
        if content is not None:
            write_bytes(content, file)


def _locations(address: str, night: Path, files: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Yields each file with its location; nothing if all steps share one disk."""
    if address != _DISK:
        root = address.rstrip("/")
        for file in files:
            yield file, f"{root}/{night.name}/{file.relative_to(night).as_posix()}"


@contextlib.contextmanager
def _reachable(address: str, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExchangeError(
            f"the exchange of plans and shards cannot be {verb}: {error}",
            location=address,
            remedy="Check that it exists and that this account may use it, then run the step again",
        ) from error
