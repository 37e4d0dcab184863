"""One run at a time in a work directory: an operating-system lock that dies with its process.

A step that writes the files of a run or the warehouse takes the lock alone; shards are drawn side
by side, so drawing shares it. A process that finds the lock taken stops at once and names the
holder; the same step may be run again later. A killed process leaves nothing to clean up.
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

from pigeon_rec.errors import ConfigError, PigeonError

__all__ = ["LockedPaths", "WorkDirBusyError", "hold"]


class LockedPaths(Protocol):
    """Paths of a run that one process at a time works on: a night or an alignment."""

    @property
    def work_dir(self) -> Path:
        """Work directory of the run."""

    @property
    def run_id(self) -> str:
        """Name of the run in messages."""

    @property
    def lock(self) -> Path:
        """File to lock."""


class WorkDirBusyError(PigeonError):
    """Another process works in the same work directory; the same step may succeed later."""

    exit_code = 3
    retryable: ClassVar[bool] = True


@contextlib.contextmanager
def hold(paths: LockedPaths, step: str, *, shared: bool = False) -> Iterator[None]:
    """Holds the lock of a run for the length of the block.

    The system releases the lock when the process ends, however it ends. Work directories on
    network drives must support `flock`.

    Processes that all pass `shared` may hold the lock together. Another process is refused with a
    message that names `step`.

    Raises:
        WorkDirBusyError: Another process holds the lock; the message names its process and step.
        ConfigError: The work directory cannot be written.
    """
    try:
        paths.lock.parent.mkdir(parents=True, exist_ok=True)
        # Never truncated before it is locked, and never removed: others may be reading it.
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
    note = {"process": os.getpid(), "run": paths.run_id, "step": step, "since": since}
    file.truncate(0)
    file.write(json.dumps(note) + "\n")
    file.flush()


def _holder(file: TextIO) -> str:
    """The process that signed last; if several share the lock, one of them."""
    try:
        file.seek(0)
        note = json.loads(file.read())
        return (
            f"process {note['process']}, which has been running `{note['step']}` of {note['run']} "
            f"since {note['since']}"
        )
    except (ValueError, KeyError, TypeError):
        return "another process"


def _busy(paths: LockedPaths, step: str, holder: str) -> WorkDirBusyError:
    return WorkDirBusyError(
        f"`{step}` of {paths.run_id} cannot start: the work directory is held by {holder}",
        location=str(paths.lock),
        remedy="Wait until it has ended (or stop it) and run this again; nothing was changed",
    )
