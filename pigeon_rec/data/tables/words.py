"""Lists names in messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["listed"]

_MOST: Final = 40
_LONGEST: Final = 80


def listed(names: Iterable[str]) -> str:
    """Returns the names with commas between them; the end of a long list or name is left out."""
    every = list(names)
    shown = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..." for name in every[:_MOST]]
    plain = [name if name.isprintable() else ascii(name) for name in shown]
    more = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(plain) + more
