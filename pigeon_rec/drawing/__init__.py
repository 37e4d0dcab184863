"""Drawing: one request in, one chosen picture out.

This package's root is light; `Drawer` and `ItemTable` bring torch and are imported from their own
modules.
"""

from __future__ import annotations

from pigeon_rec.drawing.choice import Choice, Conditions, choose
from pigeon_rec.drawing.request import Request

__all__ = ["Choice", "Conditions", "Request", "choose"]
