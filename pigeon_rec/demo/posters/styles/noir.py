"""Noir: black and white, hard light from one side through blinds, grain, a red title."""

from __future__ import annotations

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas, clipped, columns, noise, rows, shifted
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Face, set_text
from pigeon_rec.demo.posters.page import caption, full, quiet, small_print, title_box
from pigeon_rec.demo.posters.palette import BLACK, WHITE, Palette
from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask, blurred, fill
from pigeon_rec.demo.posters.shapes import Random

_TITLE = Face("STIXGeneralBol", tracking=0.14, leading=1.1, largest=24)
_SMALL = Face("STIXGeneral", tracking=0.3, largest=7)
_PITCH = 19.0  # distance of the slats in pixels


def noir(composition: Composition, palette: Palette, random: Random) -> Canvas:
    """Paints silhouettes in a cone of light that falls through blinds."""
    canvas = Canvas(palette.ground)
    light = _spot(composition)
    canvas.glow(light, palette.sky, 1.0)
    for one in composition.scenery:
        if one.role == "sky":
            canvas.glow(blurred(fill(one), 1.2), palette.light, 0.55)
        else:
            canvas.paint(fill(one), palette[one.role], 0.82 if one.role == "far" else 0.94)
    slats = _slats(random)
    canvas.shade(1 - np.float32(0.6) * (1 - slats) * light)
    _figure(canvas, composition, palette)
    canvas.shade(1 - np.float32(0.22) * (1 - slats))
    canvas.shade(_vignette())
    canvas.shade(0.3 + np.float32(0.7) * quiet(composition))
    left, top, right, bottom = title_box(composition, 13)
    canvas.paint(
        blurred(set_text(composition.title, _TITLE, (left, top, right, bottom - 12)), 2.5), BLACK
    )
    canvas.paint(set_text(composition.title, _TITLE, (left, top, right, bottom - 12)), palette.ink)
    line = (left, bottom - 10, right, bottom)
    canvas.paint(set_text(small_print(composition), _SMALL, line), WHITE, 0.8)
    canvas.shade(1 + np.float32(0.13) * noise(random, 1))
    caption(canvas, BLACK, WHITE)
    return canvas


def _figure(canvas: Canvas, composition: Composition, palette: Palette) -> None:
    """The motif: lit from the left, black towards the right, with a bright edge."""
    masks = [(one.role, fill(one)) for one in composition.figure]
    whole = np.max([mask for _, mask in masks], axis=0)
    canvas.paint(shifted(whole, 7, 3), BLACK, 0.75)
    canvas.paint(blurred(whole, 3), BLACK, 0.5)
    for role, mask in masks:
        canvas.paint(mask, palette[role])
        edge = np.clip(mask - shifted(mask, 1, 1), 0, 1)
        canvas.paint(edge, palette.light, 0.6)
    x = (columns() / WIDTH - composition.centre[0]) / composition.scale
    falloff = np.clip(1.3 - 0.8 * (x + 0.3), 0.25, 1.9).astype(np.float32)
    canvas.shade(1 + whole * (falloff - 1))


def _spot(composition: Composition) -> Mask:
    """A soft pool of light behind the motif."""
    x, y = composition.centre
    away = np.hypot(columns() / WIDTH - x + 0.08, rows() / WIDTH - y + 0.05) / (
        1.75 * composition.scale
    )
    return clipped(1.3 - away)


def _slats(random: Random) -> Mask:
    """Light (1) and shadow (0) of slanted blinds."""
    slope = random.choice([-1, 1]) * random.uniform(0.25, 0.4)
    place = (rows() + slope * columns()) % _PITCH
    return clipped(np.abs(place - _PITCH / 2) - _PITCH * 0.2)


def _vignette() -> Mask:
    x, y = columns() / WIDTH - 0.5, rows() / HEIGHT - 0.5
    return (full() - np.clip(1.5 * (x * x + y * y), 0, 0.85)).astype(np.float32)
