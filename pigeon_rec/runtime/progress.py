"""Progress reports that the caller controls: silent by default, log lines for schedulers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol, TextIO

__all__ = ["Progress", "log_lines", "log_progress", "silent"]

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Receives progress reports of a step, at any rate."""

    def __call__(self, label: str, done: int, total: int, **fields: float) -> None:
        """Receives one report.

        Args:
            label: Name of what is counted; every label has its own count.
            done: Number finished so far.
            total: Number in all.
            fields: Further numbers to show, such as `loss=0.31`.
        """


def log_lines(stream: TextIO) -> None:
    """Sends log records to `stream` as plain lines; called by programs, never by the library."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=stream)
    # FAISS logs at length which build it loads for which processor.
    logging.getLogger("faiss").setLevel(logging.WARNING)


def silent(label: str, done: int, total: int, **fields: float) -> None:
    """Ignores every report; the default of all library functions."""


def log_progress(seconds: float = 5.0, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Makes a progress that logs at most one line per label and interval, and the last report.

    A line reads `assets: 120/800 (15%), 4.2/s, 162 s left`. The interval is given in seconds.
    """
    return _LogProgress(seconds, clock)


class _LogProgress:
    """Keeps, per label, the start of the count and the time of the last line."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._began: dict[str, tuple[float, int]] = {}
        self._logged: dict[str, float] = {}

    def __call__(self, label: str, done: int, total: int, **fields: float) -> None:
        now = self._clock()
        began, first = self._began.setdefault(label, (now, done))
        if done < total and now - self._logged.get(label, began) < self._seconds:
            return
        self._logged[label] = now
        rate = (done - first) / (now - began) if now > began else 0.0
        logger.info(_line(label, done, total, rate, fields))
        if done >= total:
            # The same label may be counted again from zero.
            del self._began[label], self._logged[label]


def _line(label: str, done: int, total: int, rate: float, fields: dict[str, float]) -> str:
    parts = [f"{label}: {done}/{total} ({done / max(total, 1):.0%})"]
    if rate > 0.0:
        parts.append(f"{rate:.1f}/s")
        if done < total:
            parts.append(f"{(total - done) / rate:.0f} s left")
    parts += [f"{name} {value:.4g}" for name, value in fields.items()]
    return ", ".join(parts)
