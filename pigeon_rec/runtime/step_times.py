"""How long each step of a night took, for steps that run in processes of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from pigeon_rec.runtime.files import read_json, write_json

__all__ = ["read_step_times", "timed"]


@contextlib.contextmanager
def timed(folder: Path, step: str) -> Iterator[None]:
    """Measures the block, and writes its wall-clock seconds as `<folder>/<step>.json`.

    A block that raises leaves the file as it was.
    """
    began = monotonic()
    yield
    write_json({"seconds": round(monotonic() - began, 3)}, folder / f"{step}.json")


def read_step_times(folder: Path) -> dict[str, float]:
    """Reads step -> seconds of a folder; damaged files are left out."""
    times = {}
    for file in sorted(folder.glob("[!.]*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, OverflowError):
            times[file.stem] = float(read_json(file)["seconds"])
    return times
