"""Cut paper: layers with ragged edges that throw soft shadows, in nested paper frames."""

from __future__ import annotations

import numpy as np

from pigeon_rec.demo.posters.canvas import Canvas, Colour, noise, shifted, wobble
from pigeon_rec.demo.posters.composition import Composition
from pigeon_rec.demo.posters.lettering import Face, set_text
from pigeon_rec.demo.posters.page import CAPTION, caption, title_box
from pigeon_rec.demo.posters.palette import BLACK, WHITE, Palette
from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask, Warp, blurred, fill
from pigeon_rec.demo.posters.shapes import Random, Role, layer, rounded

_TITLE = Face("DejaVuSans-Bold", "as written", stretch=0.88, leading=1.05, largest=25)
_DEPTH: dict[Role, int] = {
    "sky": 2,
    "far": 3,
    "near": 4,
    "main": 3,
    "second": 2,
    "light": 2,
    "dark": 2,
}
"""Height of a sheet above what it lies on, in pixels."""


def paper(composition: Composition, palette: Palette, random: Random) -> Canvas:
    """Lays sheet over sheet; every sheet has a shadow, a bright cut edge and fibres."""
    canvas = Canvas(palette.ground)
    canvas.shade(1 + np.float32(0.03) * noise(random, 2))
    ragged = wobble(random, 0.008, 5)
    for one in (*composition.scenery, *composition.figure):
        _sheet(canvas, fill(one, ragged), palette[one.role], _DEPTH[one.role], random)
    for number, paint in enumerate((palette.far, palette.near)):
        hole = _window(0.075 - 0.035 * number, wobble(random, 0.022, 1.6))
        _sheet(canvas, 1 - hole, paint, 5, random)
    text = set_text(composition.title, _TITLE, title_box(composition, 20))
    _sheet(canvas, text, palette.ink, 2, random, cut=False)
    caption(canvas, palette.near, palette.ink)
    return canvas


def _sheet(
    canvas: Canvas, mask: Mask, paint: Colour, depth: int, random: Random, *, cut: bool = True
) -> None:
    # A sheet's own shadow falls around it, not on it.
    canvas.paint(blurred(shifted(mask, depth // 2, depth), 0.9 * depth), BLACK, 0.42)
    canvas.paint(mask, paint)
    if cut:
        edge = np.clip(mask - shifted(mask, 1, 1), 0, 1)
        canvas.paint(edge, WHITE, 0.35)
    canvas.shade(1 + mask * np.float32(0.035) * noise(random, 2))


def _window(inset: float, warp: Warp) -> Mask:
    """A round-cornered hole with a wavy edge."""
    bottom = (HEIGHT - CAPTION) / WIDTH
    return fill(layer("near", rounded(inset, inset, 1 - inset, bottom - inset, 0.12)), warp)
