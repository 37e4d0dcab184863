"""A result with a met and a missed bar."""

from __future__ import annotations

from benchmarks.result import Bar, Figure, Result

__all__ = ["FOUND"]

FOUND = Result(
    "lookup",
    [Figure("median", 0.25, "ms", "of 10"), Figure("rows", 1234567.0, "per s")],
    [Bar("speed", 0.72, 0.7), Bar("memory", 5.0, 4.0, at_least=False)],
)
