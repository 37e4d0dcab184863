"""Neon: glowing tubes in the dark, over a perspective grid."""

from __future__ import annotations

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas, Colour, clipped, columns, rows
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Face, set_text
from pigeon_rec.demo.posters.page import caption, quiet, title_box
from pigeon_rec.demo.posters.palette import BLACK, WHITE, Palette
from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask, blurred, fill, outline
from pigeon_rec.demo.posters.shapes import Random

_TITLE = Face("DejaVuSans-Oblique", "upper", tracking=0.05, leading=1.12, largest=24, stretch=0.9)
_TUBE = 0.018  # over the poster's width


def neon(composition: Composition, palette: Palette, random: Random) -> Canvas:
    """Paints a night sky and a grid, and bends every outline from a glowing tube."""
    canvas = Canvas(palette.ground)
    height = rows() / HEIGHT
    canvas.glow(np.clip(1.1 - 2.2 * np.abs(height - 0.62), 0, 1), palette.near, 0.24)
    horizon = composition.centre[1] + 0.72 * composition.scale
    canvas.glow(_grid(horizon) * (0.45 + 0.55 * quiet(composition)), palette.far, 0.8)
    for one in composition.scenery:
        if one.role == "near":
            continue
        clear = quiet(composition)
        canvas.glow(blurred(fill(one), 6) * clear, palette[one.role], 0.22)
        canvas.glow(outline(one, _TUBE * 0.6) * clear, palette[one.role], 0.6)
    whole = np.max([fill(one) for one in composition.figure], axis=0)
    canvas.paint(whole, BLACK, 0.78)
    for one in composition.figure:
        canvas.paint(fill(one), BLACK, 0.5)
        canvas.glow(fill(one), palette[one.role], 0.2)
        _tube(canvas, outline(one, _TUBE), palette[one.role])
    _tube(canvas, set_text(composition.title, _TITLE, title_box(composition, 15)), palette.second)
    canvas.shade(np.where(rows() % 3 < 1, np.float32(0.86), np.float32(1.0)))
    caption(canvas, palette.ground, palette.ink)
    return canvas


def _tube(canvas: Canvas, mask: Mask, light: Colour) -> None:
    canvas.glow(blurred(mask, 7) * 2.2, light, 0.75)
    canvas.glow(blurred(mask, 2) * 1.4, light, 0.8)
    canvas.paint(mask, light)
    canvas.paint(clipped(2.4 * blurred(mask, 0.6) - 1.5), WHITE, 0.75)


def _grid(horizon: float) -> Mask:
    """Lines on a floor that meet at a point on the horizon."""
    below = (rows() / WIDTH - horizon + 0.02).clip(min=1e-3)
    x, depth = (columns() / WIDTH - 0.5) / below, 0.16 / below
    across = np.abs((depth * 2) % 1 - 0.5) > 0.5 - 0.016 * 2 / below.clip(0.05, 1) * 0.16
    along = np.abs((x * 1.6 + 0.5) % 1 - 0.5) < 0.012 / below.clip(0.03, 1) * 0.9
    lines = (across | along) & (rows() / WIDTH > horizon)
    return blurred(lines.astype(np.float32), 0.5)
