"""Swiss type: a plain ground, huge small letters flush left, two flat inks, a strict grid."""

from __future__ import annotations

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas, Colour, rows
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Face, set_text
from pigeon_rec.demo.posters.page import CAPTION, caption, full, small_print
from pigeon_rec.demo.posters.palette import Palette
from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask, fill
from pigeon_rec.demo.posters.shapes import Random

_TITLE = Face(
    "DejaVuSans-Bold", "lower", "left", stretch=0.86, tracking=-0.045, leading=0.9, largest=58
)
_SMALL = Face("DejaVuSans-Bold", "lower", "left", largest=6.5)
_MARGIN = 10


def swiss(composition: Composition, palette: Palette, random: Random) -> Canvas:
    """Paints the motif in two inks, a bar of the second ink, and letters as large as they fit."""
    canvas = Canvas(palette.ground)
    on_top = composition.title_on_top
    for one in composition.scenery:
        if one.role == "sky":
            canvas.paint(fill(one), palette.sky)
        elif one.role == "far":
            canvas.paint(fill(one) * _lines(6), palette.far)
    for one in composition.figure:
        canvas.paint(fill(one), palette[one.role])
    band = _band(5 if on_top else 162, 72 if on_top else HEIGHT - CAPTION)
    canvas.paint(band, palette.ground)
    edge = 70 if on_top else 162
    canvas.paint(_band(edge, edge + 3), palette.ink)
    box = (_MARGIN, 8, WIDTH - _MARGIN, 66) if on_top else (_MARGIN, 169, WIDTH - 6, 226)
    canvas.paint(
        set_text(composition.title, _TITLE, box, anchor="bottom" if on_top else "top"), palette.ink
    )
    _grid_text(canvas, composition, palette.ink)
    caption(canvas, palette.ground, palette.ink)
    return canvas


def _grid_text(canvas: Canvas, composition: Composition, ink: Colour) -> None:
    """Small lines on the far side of the page, above a thin rule."""
    y = HEIGHT - CAPTION - 14 if composition.title_on_top else 8
    canvas.paint(_band(y - 2, y - 1) if composition.title_on_top else _band(y + 11, y + 12), ink)
    box = (_MARGIN, y, WIDTH - _MARGIN, y + 10)
    canvas.paint(set_text(small_print(composition), _SMALL, box), ink)


def _band(top: float, bottom: float) -> Mask:
    y = rows()
    return full() * ((y >= top) & (y < bottom)).astype(np.float32)


def _lines(pitch: int) -> Mask:
    return (rows() % pitch < pitch / 2).astype(np.float32)
