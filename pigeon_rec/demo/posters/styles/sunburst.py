"""Sunburst: rays from behind the motif, worn vintage print, a title ribbon."""

from __future__ import annotations

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas, clipped, columns, noise, rows
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Box, Face, set_text
from pigeon_rec.demo.posters.page import caption, frame, full, title_box
from pigeon_rec.demo.posters.palette import Palette
from pigeon_rec.demo.posters.raster import WIDTH, Mask, fill, grown
from pigeon_rec.demo.posters.shapes import Random, layer, polygon

_RAYS = 12
_TITLE = Face("DejaVuSerif-Bold", stretch=0.8, tracking=0.03, leading=1.02, largest=25)
_KEYLINE = 0.025  # light edge around the motif, over the poster's width


def sunburst(composition: Composition, palette: Palette, random: Random) -> Canvas:
    """Paints rays, the ground as one silhouette, and the motif with a light edge."""
    canvas = Canvas(palette.ground)
    canvas.paint(_rays(composition), palette.far)
    for one in composition.scenery:
        if one.role != "far":
            canvas.paint(fill(one), palette[one.role], 1.0 if one.role == "near" else 0.85)
    for one in composition.figure:
        canvas.paint(grown(one, _KEYLINE), palette.light)
    for one in composition.figure:
        canvas.paint(fill(one), palette[one.role])
    _ribbon(canvas, composition, palette)
    canvas.paint(frame(0, 6), palette.light)
    canvas.paint(frame(8, 1.4), palette.light)
    _wear(canvas, palette, random)
    caption(canvas, palette.light, palette.dark)
    return canvas


def _rays(composition: Composition) -> Mask:
    x, y = columns() - WIDTH * composition.centre[0], rows() - WIDTH * composition.centre[1]
    # The slope makes an edge one pixel wide at any distance from the middle.
    slope = np.hypot(x, y) / _RAYS
    return clipped(0.5 + np.sin(_RAYS * np.arctan2(y, x)) * slope)


def _ribbon(canvas: Canvas, composition: Composition, palette: Palette) -> None:
    left, top, right, bottom = title_box(composition, 16)
    text = set_text(composition.title, _TITLE, (left + 4, top + 4, right - 4, bottom - 6))
    inked = np.flatnonzero(text.max(axis=1) > 0)
    if inked.size:
        band: Box = (left - 6, float(inked[0]) - 6, right + 6, float(inked[-1]) + 7)
        _band(canvas, band, palette)
    canvas.paint(text, palette.ink)


def _band(canvas: Canvas, box: Box, palette: Palette) -> None:
    """A ribbon with notched ends."""
    left, top, right, bottom = (value / WIDTH for value in box)
    middle, notch = (top + bottom) / 2, 0.035
    ribbon = polygon((left, top), (right, top), (right - notch, middle), (right, bottom),
                     (left, bottom), (left + notch, middle))  # fmt: skip
    canvas.paint(grown(layer("main", ribbon), 0.013), palette.light)
    canvas.paint(fill(layer("main", ribbon)), palette.main)


def _wear(canvas: Canvas, palette: Palette, random: Random) -> None:
    """Yellowed paper, grain, and spots where the ink is gone."""
    canvas.multiply(full(), palette.ground, 0.25)
    scratches = np.clip(noise(random, 2) + 0.6 * noise(random, 9) - 1.05, 0, 1) * 2.2
    canvas.paint(clipped(scratches), palette.light, 0.7)
    canvas.shade(1 + np.float32(0.05) * noise(random, 1))
