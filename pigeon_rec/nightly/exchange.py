"""Exchange of plan and shards between machines that share no disk, through an fsspec location.

The machine with the warehouse plans, sends the plan to `<location>/<date>/` and fetches the shards
from there before it publishes. A drawing machine fetches the plan into its own work directory and
sends each finished shard. Files are put whole, so no reader sees part of one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.runtime.files import write_bytes
from pigeon_rec.runtime.storage import get_file, put_file

__all__ = ["ExchangeError", "fetch", "send"]


class ExchangeError(PlanError):
    """Raised if the location cannot be reached; a retry may help."""

    retryable: ClassVar[bool] = True


def send(config: NightlyConfig, paths: NightPaths, files: Iterable[Path]) -> None:
    """Sends the existing ones of the files, in their order, to the other machines.

    Raises:
        ExchangeError: The location cannot be written.
    """
    with _reachable(config, "written"):
        for file, location in _locations(config, paths, files):
            if file.is_file():
                put_file(location, file.read_bytes())


def fetch(config: NightlyConfig, paths: NightPaths, files: Iterable[Path]) -> None:
    """Fetches the files that were sent, replacing local ones; the others stay as they are.

    Raises:
        ExchangeError: The location cannot be read.
    """
    with _reachable(config, "read"):
        for file, location in _locations(config, paths, files):
            with contextlib.suppress(FileNotFoundError):
                write_bytes(get_file(location), file)


def _locations(
    config: NightlyConfig, paths: NightPaths, files: Iterable[Path]
) -> Iterator[tuple[Path, str]]:
    """Yields each file with its location; nothing if all steps share one disk."""
    if config.exchange != "disk":
        root = config.exchange.rstrip("/")
        for file in files:
            yield file, f"{root}/{paths.run_id}/{file.relative_to(paths.night).as_posix()}"


@contextlib.contextmanager
def _reachable(config: NightlyConfig, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExchangeError(
            f"the exchange of plans and shards cannot be {verb}: {error}",
            location=config.exchange,
            remedy="Check that it exists and that this account may use it, then run the step again",
        ) from error
