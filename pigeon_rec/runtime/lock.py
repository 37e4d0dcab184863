"""One run at a time in a work directory: an operating-system lock that dies with its process.

Steps that write the night's files or the warehouse hold it alone; shards are drawn side by side, so
drawing shares it with drawing. Who finds it taken stops at once with the holder's name and may be
tried again; nothing has to be cleaned up after a process that was killed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Protocol, TextIO

from pigeon_rec.errors import ConfigError, PlanError

__all__ = ["LockedPaths", "NightBusyError", "hold"]


class LockedPaths(Protocol):
    """Files of a run that one process at a time works on; those of a night, for example."""

    @property
    def work_dir(self) -> Path:
        """The folder."""

    @property
    def run_id(self) -> str:
        """Name of the run in messages."""

    @property
    def lock(self) -> Path:
        """File to lock."""


class NightBusyError(PlanError):
    """Another run works in the same folder; the same step may succeed later."""

    retryable: ClassVar[bool] = True


@contextlib.contextmanager
def hold(paths: LockedPaths, step: str, *, shared: bool = False) -> Iterator[None]:
    """Keeps every other run out of the work directory for the length of the block.

    The lock belongs to the open file and is given back by the system when the process ends,
    however it ends. Work directories on network drives must support `flock`.

    Args:
        paths: The night, for its work directory and its name.
        step: What is being done, for the message of whoever comes second.
        shared: Whether others that say so too may work at the same time.

    Raises:
        NightBusyError: Somebody else is at work; the message says who and with what.
        ConfigError: The work directory cannot be written.
    """
    try:
        paths.lock.parent.mkdir(parents=True, exist_ok=True)
        # Never truncated and never removed: others may be reading it or waiting for it.
        file = paths.lock.open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write in the work directory: {error.strerror}",
            location=str(paths.work_dir),
            remedy="Choose a folder that can be written, with --work-dir or work_dir",
        ) from error
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _busy(paths, step, _holder(file)) from error
        _sign(file, paths, step)
        yield


def _sign(file: TextIO, paths: LockedPaths, step: str) -> None:
    since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    note = {"process": os.getpid(), "night": paths.run_id, "step": step, "since": since}
    file.truncate(0)
    file.write(json.dumps(note) + "\n")
    file.flush()


def _holder(file: TextIO) -> str:
    """Who signed last; with several at drawing, one of them."""
    try:
        file.seek(0)
        note = json.loads(file.read())
        return (
            f"process {note['process']}, which has been at `{note['step']}` of {note['night']} "
            f"since {note['since']}"
        )
    except (ValueError, KeyError, TypeError):
        return "another process"


def _busy(paths: LockedPaths, step: str, holder: str) -> NightBusyError:
    return NightBusyError(
        f"`{step}` of {paths.run_id} cannot start: the work directory is held by {holder}",
        location=str(paths.lock),
        remedy="Wait until it has ended (or stop it) and run this again; nothing was changed",
    )
