"""The weekly alignment: trains on from the serving model, compares, and promotes the better one."""

from __future__ import annotations

__all__: list[str] = []
