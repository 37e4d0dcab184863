"""Reasons of rejections that are no property of the drawn picture."""

from __future__ import annotations

from typing import Final

__all__ = ["FAILURES", "NOT_DRAWN"]

FAILURES: Final = frozenset({"drawing_failed", "scoring_failed", "undecodable", "unreadable_input"})
"""Reading, drawing, scoring or storing failed: the same request may succeed later, so it is tried
again. All other reasons are verdicts of the quality gate, which the same picture always gets."""

NOT_DRAWN: Final = frozenset({"drawing_failed", "unreadable_input"})
"""Failures that leave no picture."""
