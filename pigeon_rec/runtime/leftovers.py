"""Files and folders that killed processes left in a work directory.

What belongs to a process has its id in its name, and is removed only if no process has that id.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Final

__all__ = ["is_running", "spill_folder", "sweep", "sweep_spills"]

logger = logging.getLogger(__name__)

_SPILLS: Final = ".spill-"
# What DuckDB spills to the disk, by process; in a folder of ours or in its own `<file>.tmp`.
_SPILLED: Final = re.compile(r"duckdb_temp_(\d+)_\d+_.*")
# `runtime.files.replacing`, and a run of RecBole; earlier versions did not name its process.
_UNFINISHED: Final = re.compile(r"\..+\.(\d+)\.tmp(\.[^.]+)*")
_SANDBOX: Final = re.compile(r"run-(?:(\d+)-)?[a-z0-9_]{8}")


def is_running(process: int) -> bool:
    """Returns whether a process of this id runs on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def spill_folder(file: Path) -> Path:
    """Returns the folder for what DuckDB spills from a warehouse or from one of its snapshots.

    DuckDB makes it, and removes it when the database is closed. It lies in a folder that only this
    account may enter.
    """
    warehouse = file.parent.parent if file.parent.name == "snapshots" else file.parent
    private = warehouse / f"{_SPILLS}{os.getuid()}"
    private.mkdir(mode=0o700, exist_ok=True)
    return private / file.name


def sweep(work_dir: Path) -> int:
    """Removes what killed nights left behind, and returns the number of files and folders.

    The caller holds the lock of the work directory alone, so that no night writes there. What
    cannot be removed is logged and stays.
    """
    doomed = [
        *_of_dead(work_dir / "recbole", "run-*", _SANDBOX),
        *(path for path in work_dir.glob("runs/*/*.new") if path.is_dir()),
    ]
    for folder in ("cache", "inputs", "runs", "warehouse"):
        doomed += _of_dead(work_dir / folder, "**/.*.tmp*", _UNFINISHED)
    removed = sum(map(_removed, doomed)) + sweep_spills(work_dir / "warehouse")
    if removed:
        logger.info("removed %d leftovers of killed runs in %s", removed, work_dir)
    return removed


def sweep_spills(folder: Path) -> int:
    """Removes what killed processes spilled from databases in a folder; returns the files."""
    spills = [*folder.glob(f"{_SPILLS}*/*"), *folder.glob("**/*.tmp")]
    removed = 0
    for spill in [path for path in spills if path.is_dir()]:
        removed += sum(map(_removed, _of_dead(spill, "*", _SPILLED)))
        with contextlib.suppress(OSError):  # not empty: in use, or not of DuckDB
            spill.rmdir()
    return removed


def _of_dead(folder: Path, pattern: str, name: re.Pattern[str]) -> list[Path]:
    """Returns the paths whose name matches and whose process, if one is named, does not run."""
    named = [(path, name.fullmatch(path.name)) for path in folder.glob(pattern)]
    return [path for path, found in named if found and not (found[1] and is_running(int(found[1])))]


def _removed(path: Path) -> bool:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        logger.warning("cannot remove %s, which a killed run left: %s", path, error.strerror)
        return False
    return True
