"""Aquarelle: transparent washes on white paper, darker where they dried, with splashes."""

from __future__ import annotations

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas, Colour, clipped, columns, noise, rows, wobble
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Face, set_text
from pigeon_rec.demo.posters.page import caption, title_box
from pigeon_rec.demo.posters.palette import Palette
from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask, blurred, fill
from pigeon_rec.demo.posters.shapes import Random, disc, layer

_TITLE = Face("STIXGeneralItalic", "as written", leading=0.98, largest=31)


def aquarelle(composition: Composition, palette: Palette, random: Random) -> Canvas:
    """Lays a loose wash for the air, lighter ones for the scenery and strong ones for the motif."""
    canvas = Canvas(palette.ground)
    page = _brushed(composition, random)
    _wash(canvas, page, palette.sky, 0.5, random, pool=0.5)
    loose = wobble(random, 0.03, 2.5)
    for one in composition.scenery:
        mask = fill(one, loose) * page
        _wash(canvas, mask, palette[one.role], {"sky": 0.3, "far": 0.45}.get(one.role, 0.6), random)
    close = wobble(random, 0.008, 4)
    whole = np.max([fill(one, close) for one in composition.figure], axis=0)
    canvas.paint(blurred(whole, 1.5), palette.ground, 0.82)
    for one in composition.figure:
        mask = fill(one, close)
        canvas.paint(mask, palette.ground, 0.85)  # as if the paper had been left free
        _wash(canvas, mask, palette[one.role], 0.95, random)
        dried = np.clip(mask - blurred(mask, 1.3), 0, 1)
        canvas.multiply(dried, palette.dark, 0.9)
    _splashes(canvas, palette, random)
    canvas.shade(1 + np.float32(0.045) * noise(random, 1.6))
    title = set_text(composition.title, _TITLE, title_box(composition, 14))
    canvas.paint(blurred(title, 3.0) * 1.6, palette.ground, 0.8)
    canvas.multiply(title, palette.ink, 0.95)
    caption(canvas, palette.ground, palette.ink)
    return canvas


def _wash(
    canvas: Canvas,
    mask: Mask,
    paint: Colour,
    strength: float,
    random: Random,
    *,
    pool: float = 0.35,
) -> None:
    """A transparent layer that is uneven inside and dark along its edge."""
    edge = np.clip(mask - blurred(mask, 2.2), 0, 1) * mask
    uneven = 1 + pool * noise(random, 26) + 0.16 * noise(random, 5)
    amount = mask * np.clip(0.78 * uneven, 0.15, 1.1) + 1.25 * edge
    canvas.multiply(np.clip(amount, 0, 1.15).astype(np.float32), paint, strength)


def _brushed(composition: Composition, random: Random) -> Mask:
    """The painted part of the paper: round the motif, with a ragged edge."""
    x, y = columns() / WIDTH - 0.5, rows() / HEIGHT - (0.56 if composition.title_on_top else 0.42)
    away = np.sqrt((x / 0.5) ** 2 + (y / 0.44) ** 2)
    ragged = away + 0.2 * noise(random, 24) + 0.08 * noise(random, 7)
    return clipped((1.0 - ragged) * 9)


def _splashes(canvas: Canvas, palette: Palette, random: Random) -> None:
    for paint in (palette.main, palette.second):
        spots = [disc(random.uniform(0.02, 0.98), random.uniform(0.02, 1.38),
                      0.022 * random.random() ** 2 + 0.004) for _ in range(9)]  # fmt: skip
        _wash(canvas, fill(layer("sky", spots)), paint, 0.75, random)
