"""The weekly alignment: train on the serving model, compare case by case, promote the better."""

from __future__ import annotations

__all__: list[str] = []
