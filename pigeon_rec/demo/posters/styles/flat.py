"""Flat minimal: pastel ground, few plain colours, long shadows, a white border."""

from __future__ import annotations

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas, shifted
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Face, set_text
from pigeon_rec.demo.posters.page import caption, frame, small_print, title_box
from pigeon_rec.demo.posters.palette import WHITE, Palette
from pigeon_rec.demo.posters.raster import Mask, fill
from pigeon_rec.demo.posters.shapes import Random

_TITLE = Face("DejaVuSans", "lower", tracking=0.06, leading=1.15, largest=17)
_SMALL = Face("DejaVuSans", "lower", tracking=0.2, largest=6.5)


def flat(composition: Composition, palette: Palette, random: Random) -> Canvas:
    """Paints plain shapes; the scenery is quiet, and the motif throws a shadow to the right."""
    canvas = Canvas(palette.ground)
    for one in composition.scenery:
        canvas.paint(fill(one), palette[one.role], {"near": 0.55, "far": 0.6}.get(one.role, 0.8))
    masks = [(one.role, fill(one)) for one in composition.figure]
    whole = np.max([mask for _, mask in masks], axis=0)
    canvas.multiply(_long_shadow(whole), palette.dark, 0.2)
    for role, mask in masks:
        canvas.paint(mask, palette[role])
    left, top, right, bottom = title_box(composition, 22)
    canvas.paint(
        set_text(composition.title, _TITLE, (left, top + 4, right, bottom - 15)), palette.ink
    )
    line = (left, bottom - 14, right, bottom - 5)
    canvas.paint(set_text(small_print(composition), _SMALL, line), palette.ink, 0.75)
    canvas.paint(frame(0, 9), WHITE)
    caption(canvas, WHITE, palette.ink)
    return canvas


def _long_shadow(mask: Mask) -> Mask:
    """The area that the mask sweeps when it moves 64 pixels right and down."""
    shadow = mask
    for step in (1, 2, 4, 8, 16, 32):
        shadow = np.maximum(shadow, shifted(shadow, step, step))
    return shadow
