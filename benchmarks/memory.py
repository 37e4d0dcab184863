"""Peak memory of a block of code: high-water mark of this process, on Linux."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["peak_above"]

_STATUS = Path("/proc/self/status")
_MARK = Path("/proc/self/clear_refs")
_RESET = "5"  # resets the high-water mark: proc(5), clear_refs


@contextmanager
def peak_above() -> Iterator[list[int]]:
    """Yields a list that gets the peak memory of the block above the memory before it, in bytes."""
    peaks: list[int] = []
    _MARK.write_text(_RESET, encoding="ascii")
    before = _kilobytes("VmRSS")
    yield peaks
    peaks.append((_kilobytes("VmHWM") - before) * 1024)


def _kilobytes(field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.M)
    if match is None:
        raise LookupError(f"{_STATUS} has no {field}")
    return int(match[1])
