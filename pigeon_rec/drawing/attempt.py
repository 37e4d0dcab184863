"""Drawing requests of which some may fail: a failure concerns its own request only."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from pigeon_rec.drawing.drawer import Drawer, DrawnAsset
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.drawing.request import Request
from pigeon_rec.errors import ModelError, PigeonError, error_text
from pigeon_rec.scoring import Rejection

__all__ = ["DrawingError", "attempt", "check_failures"]

logger = logging.getLogger(__name__)

_ALL_FAILED: Final = 3
"""So many failures without any success are no fault of the requests."""

Drawn = DrawnAsset | Rejection


class DrawingError(ModelError):
    """Nothing can be drawn: the accelerator or the memory failed; a retry may help."""

    retryable = True


def attempt(drawer: Drawer, requests: Sequence[Request], items: ItemTable) -> list[Drawn]:
    """Draws requests together, or one by one if that fails.

    Returns:
        In the order of the requests: the asset, or a rejection with the reason `unreadable_input`
        (a picture that the request needs cannot be read) or `drawing_failed`.

    Raises:
        PigeonError: Settings or model are unusable.
    """
    faults = [items.fault(request) for request in requests]
    usable = [request for request, fault in zip(requests, faults, strict=True) if fault is None]
    drawn = iter(_draw(drawer, usable, items))
    return [
        next(drawn) if fault is None else Rejection("unreadable_input", fault) for fault in faults
    ]


def check_failures(reasons: Sequence[str | None], location: str) -> None:
    """Checks that not every request of a shard failed to be drawn.

    Args:
        reasons: Reason of each request's rejection; None for an asset.
        location: The shard, for the message.

    Raises:
        DrawingError: Three or more requests could be read, and drawing failed for all of them.
    """
    attempted = [reason for reason in reasons if reason != "unreadable_input"]
    if len(attempted) >= _ALL_FAILED and set(attempted) == {"drawing_failed"}:
        raise DrawingError(
            f"none of {len(attempted)} requests could be drawn; the log has each error",
            location=location,
            remedy="Check memory and accelerator of this machine, then run the step again",
        )


def _draw(drawer: Drawer, requests: Sequence[Request], items: ItemTable) -> list[Drawn]:
    together = _tried(lambda: drawer.draw(requests, items))
    if not isinstance(together, Rejection):
        return list(together)
    if len(requests) == 1:
        return [together]
    # One request may need what the others do not; and a smaller batch needs less memory.
    return [drawn for request in requests for drawn in _draw(drawer, [request], items)]


def _tried(draw: Callable[[], list[DrawnAsset]]) -> list[DrawnAsset] | Rejection:
    try:
        return draw()
    except PigeonError:
        raise
    except Exception as error:
        logger.exception("drawing failed")
        return Rejection("drawing_failed", f"{type(error).__name__}: {error_text(error)}")
