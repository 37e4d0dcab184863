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
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TextIO

from pigeon_rec.errors import ConfigError, PigeonError, may_pass
from pigeon_rec.runtime.leftovers import is_running

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
    retryable = True


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
            location=str(paths.work_dir.absolute()),
            remedy="Choose a folder that can be written, with --work-dir or work_dir",
            retryable=may_pass(error),
        ) from error
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _busy(paths, step, _holder(file)) from error
        _sign(file, paths, step, alone=not shared)
        yield


def _sign(file: TextIO, paths: LockedPaths, step: str, *, alone: bool) -> None:
    """Adds a line about this process; those that share the lock have a line each."""
    note = {
        "process": os.getpid(),
        "machine": platform.node(),
        "run": paths.run_id,
        "step": step,
        "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    with contextlib.suppress(OSError):  # a full disk: the lock holds without its note
        if alone:
            os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"{json.dumps(note)}\n".encode())


def _holder(file: TextIO) -> str:
    """Describes who holds the lock: the process that signed last, of those that still run."""
    file.seek(0)
    notes = [note for line in file.read().splitlines() if (note := _running(line))]
    if not notes:
        return "another process"
    last = notes[-1]
    machine = "" if last["machine"] == platform.node() else f" on {last['machine']}"
    others = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
    return (
        f"process {last['process']}{machine}, which has been running `{last['step']}` of "
        f"{last['run']} since {last['since']}{others}"
    )


def _running(line: str) -> dict[str, Any] | None:
    """Reads the note of a process; None if that has ended, as its note stays."""
    try:
        note: dict[str, Any] = json.loads(line)
        ended = note["machine"] == platform.node() and not is_running(int(note["process"]))
        return None if ended or not {"step", "run", "since"} <= set(note) else note
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _busy(paths: LockedPaths, step: str, holder: str) -> WorkDirBusyError:
    return WorkDirBusyError(
        f"`{step}` of {paths.run_id} cannot start: the work directory is held by {holder}",
        location=str(paths.lock.absolute()),
        remedy="Wait until it has ended (or stop it) and run this again; nothing was changed",
    )
