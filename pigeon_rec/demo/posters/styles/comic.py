"""Comic: thick black outlines, halftone dots, primary colours, a burst behind the motif."""

from __future__ import annotations

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas, clipped, columns, rows, shifted
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Face, set_text
from pigeon_rec.demo.posters.page import caption, frame, title_box
from pigeon_rec.demo.posters.palette import BLACK, WHITE, Palette, colour
from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask, fill, grown, outline
from pigeon_rec.demo.posters.shapes import Random, layer, polygon, star

_TITLE = Face("DejaVuSans-BoldOblique", stretch=0.78, leading=1.0, largest=29)
_BOX = colour("ffe800")
_LINE = 0.017  # outline over the poster's width


def comic(composition: Composition, palette: Palette, random: Random) -> Canvas:
    """Paints with black outlines and shades with dots."""
    canvas = Canvas(palette.ground)
    fade = rows() / HEIGHT
    canvas.paint(
        _dots(9.0, 0.15 + 0.75 * (fade if random.random() < 0.5 else 1 - fade)), palette.far
    )
    for one in composition.scenery:
        mask = fill(one)
        if one.role == "near":
            canvas.paint(mask, palette.near)
            canvas.paint(mask * _dots(7.0, 0.35 + 0 * fade), palette.far)
            canvas.paint(outline(one, _LINE * 0.8), BLACK)
        else:
            canvas.paint(mask, palette[one.role], 0.9)
    _burst(canvas, composition, palette, random)
    for one in composition.figure:
        canvas.paint(grown(one, 1.6 * _LINE), BLACK)
    for one in composition.figure:
        mask = fill(one)
        canvas.paint(grown(one, _LINE), BLACK)
        canvas.paint(mask, palette[one.role])
        # Dots in the half that is turned away from the light.
        side = np.clip(mask - shifted(mask, -9, -7), 0, 1)
        canvas.paint(side * _dots(5.0, 0.55 + 0 * fade), BLACK, 0.85)
    _title(canvas, composition)
    canvas.paint(frame(0, 5), WHITE)
    canvas.paint(frame(4, 3), BLACK)
    caption(canvas, WHITE, BLACK)
    return canvas


def _dots(pitch: float, share: Mask) -> Mask:
    """Dots on a grid turned by 45 degrees, with a diameter of about `share` of the pitch."""
    x, y = columns(), rows()
    across, down = (x + y) / np.float32(np.sqrt(2)), (x - y) / np.float32(np.sqrt(2))
    away = np.hypot((across % pitch) - pitch / 2, (down % pitch) - pitch / 2)
    return clipped(share * pitch * 0.62 - away + 0.5)


def _burst(canvas: Canvas, composition: Composition, palette: Palette, random: Random) -> None:
    """A star of many points behind the motif."""
    x, y = composition.centre
    burst = palette.sky
    turn, points = random.uniform(0, 30), int(random.integers(13, 17))
    for size, ink in ((1.32, BLACK), (1.26, WHITE), (0.98, burst)):
        radius = size * composition.scale
        canvas.paint(fill(layer("sky", star(x, y, radius, 0.74 * radius, points, turn))), ink)


def _title(canvas: Canvas, composition: Composition) -> None:
    left, top, right, bottom = title_box(composition, 14)
    text = set_text(composition.title, _TITLE, (left + 6, top + 3, right - 6, bottom - 3))
    inked = np.flatnonzero(text.max(axis=1) > 0)
    if inked.size:
        first, last = (inked[0] - 6) / WIDTH, (inked[-1] + 7) / WIDTH
        panel = layer("main", polygon((0.06, first + 0.015), (0.95, first - 0.012),
                                      (0.94, last - 0.01), (0.05, last + 0.012)))  # fmt: skip
        canvas.paint(shifted(fill(panel), 4, 4), BLACK)
        canvas.paint(fill(panel), _BOX)
        canvas.paint(outline(panel, 0.012), BLACK)
    canvas.paint(text, BLACK)
