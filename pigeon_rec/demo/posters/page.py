"""The parts of a poster's page that all styles share: where the title is, and the lowest line."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pigeon_rec.data.made_posters import MADE
from pigeon_rec.demo.posters.canvas import Canvas, Colour, rows
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Box, Face, set_text
from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask

__all__ = ["CAPTION", "caption", "frame", "full", "quiet", "small_print", "title_box"]

CAPTION = 12
"""Height of the lowest line in pixels."""

_TOP, _TOP_END = 12, 68
_BOTTOM, _BOTTOM_END = 168, HEIGHT - CAPTION - 6


def title_box(composition: Composition, margin: float = 12) -> Box:
    """Where the title is, above or below the motif."""
    if composition.title_on_top:
        return margin, _TOP, WIDTH - margin, _TOP_END
    return margin, _BOTTOM, WIDTH - margin, _BOTTOM_END


def quiet(composition: Composition) -> Mask:
    """0 behind the title and 1 elsewhere, with a soft edge."""
    start, end = (0, _TOP_END + 6) if composition.title_on_top else (_BOTTOM - 6, HEIGHT)
    y = rows()
    return np.clip(np.maximum(start - y, y - end) / 8, 0, 1).astype(np.float32)


def small_print(composition: Composition) -> str:
    """Year and genres, for a small line."""
    parts = [str(composition.year)] if composition.year is not None else []
    return "  ".join([*parts, *composition.genres[:2]])


def caption(canvas: Canvas, ground: Colour, ink: Colour) -> None:
    """Writes in the lowest line that this is a made poster."""
    band = full()
    band[: HEIGHT - CAPTION] = 0
    canvas.paint(band, ground)
    canvas.paint(_caption_text(), ink)


def frame(inset: float, width: float) -> Mask:
    """A rectangular line `inset` pixels inside the edges of the picture, above the lowest line."""
    page = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    first, last = round(inset), round(inset + width)
    bottom = HEIGHT - CAPTION
    page[first : bottom - first, first : WIDTH - first] = 1
    page[last : bottom - last, last : WIDTH - last] = 0
    return page


def full() -> Mask:
    """A mask of everything."""
    return np.ones((HEIGHT, WIDTH), dtype=np.float32)


@lru_cache(maxsize=1)
def _caption_text() -> Mask:
    face = Face("DejaVuSans", "upper", tracking=0.18, largest=7.5)
    return set_text(MADE, face, (8, HEIGHT - CAPTION, WIDTH - 8, HEIGHT))
