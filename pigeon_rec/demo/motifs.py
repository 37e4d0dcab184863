"""Motifs of made posters: one simple drawing per genre, placed at random.

Every motif draws with two colours on a canvas of any size; `random` is seeded by the poster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import ImageDraw

__all__ = ["GENRE_MOTIFS", "Colour", "Motif", "horizon"]

Colour = tuple[int, int, int]
Random = np.random.Generator
Motif = Callable[[ImageDraw.ImageDraw, int, int, Random, Colour, Colour], None]
"""Draws on a canvas of (width, height) with a main and a second colour."""


def rays(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Rays from one point, as an explosion has them."""
    x, y = w * random.uniform(0.25, 0.75), h * random.uniform(0.3, 0.6)
    count, turn = int(random.integers(9, 16)), random.uniform(0, math.pi)
    for ray in range(count):
        sides = (turn + 2 * math.pi * (ray + side) / count for side in (0.0, 0.5))
        ends = [(x + h * math.cos(angle), y + h * math.sin(angle)) for angle in sides]
        draw.polygon([(x, y), *ends], fill=main)
    _disc(draw, x, y, w * 0.14, second)


def hills(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """A sun behind two rows of hills."""
    _disc(draw, w * random.uniform(0.25, 0.75), h * 0.4, w * random.uniform(0.14, 0.24), second)
    for row, colour in enumerate((_between(main, second), main)):
        steps = range(0, w + 8, 8)
        wave, lift = random.uniform(1.5, 3.5), random.uniform(0, 6)
        top = h * (0.52 + 0.14 * row)
        ridge = [(x, top + h * 0.06 * math.sin(wave * 6.3 * x / w + lift)) for x in steps]
        draw.polygon([*ridge, (w, h), (0, h)], fill=colour)


def balloons(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Balloons on strings."""
    for number in range(int(random.integers(4, 8))):
        x, y = w * random.uniform(0.1, 0.9), h * random.uniform(0.15, 0.6)
        draw.line([(x, y), (w / 2, h * 0.85)], fill=_between(main, second), width=1)
        _disc(draw, x, y, w * random.uniform(0.08, 0.15), (main, second)[number % 2])


def confetti(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Scattered squares and dots."""
    for number in range(int(random.integers(40, 70))):
        x, y, r = w * random.random(), h * random.random(), w * random.uniform(0.02, 0.05)
        box = (x - r, y - r, x + r, y + r)
        colour = (main, second, _between(main, second))[number % 3]
        (draw.ellipse if number % 2 else draw.rectangle)(box, fill=colour)


def blinds(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Light through blinds behind a silhouette."""
    slats, slope = int(random.integers(8, 14)), h * random.uniform(-0.12, 0.12)
    for slat in range(slats):
        y, thick = h * slat / slats, h * 0.45 / slats
        draw.polygon([(0, y), (w, y + slope), (w, y + slope + thick), (0, y + thick)], fill=second)
    x = w * random.uniform(0.35, 0.65)
    _disc(draw, x, h * 0.45, w * 0.14, main)
    draw.polygon([(x - w * 0.3, h), (x - w * 0.12, h * 0.58), (x + w * 0.12, h * 0.58),
                  (x + w * 0.3, h)], fill=main)  # fmt: skip


def frames(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Frames of a film strip."""
    rows, columns = int(random.integers(3, 6)), int(random.integers(2, 4))
    for row in range(rows):
        for column in range(columns):
            x, y = w * (column + 0.12) / columns, h * (row + 0.12) / rows
            box = (x, y, x + 0.76 * w / columns, y + 0.76 * h / rows)
            draw.rectangle(box, fill=(main, second)[int(random.integers(2))])


def horizon(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """An empty land, a moon, one figure."""
    ground = h * random.uniform(0.6, 0.75)
    _disc(draw, w * random.uniform(0.2, 0.8), h * 0.3, w * random.uniform(0.1, 0.2), second)
    draw.rectangle((0, ground, w, h), fill=main)
    x, tall = w * random.uniform(0.2, 0.8), h * 0.14
    draw.rectangle((x - w * 0.02, ground - tall, x + w * 0.02, ground + h * 0.02), fill=second)
    _disc(draw, x, ground - tall, w * 0.035, second)


def planet(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """A ringed planet among stars."""
    for _ in range(60):
        _disc(draw, w * random.random(), h * random.random(), random.uniform(0.5, 1.6), second)
    x, y, r = w * random.uniform(0.3, 0.7), h * random.uniform(0.3, 0.55), w * 0.24
    _disc(draw, x, y, r, main)
    ring = (x - 1.7 * r, y - 0.4 * r, x + 1.7 * r, y + 0.4 * r)
    draw.arc(ring, 150, 390, fill=second, width=max(2, w // 50))


def shards(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Teeth from above and below, and two discs between them."""
    teeth = int(random.integers(5, 9))
    for tooth in range(teeth):
        left, right = w * tooth / teeth, w * (tooth + 1) / teeth
        deep = h * random.uniform(0.12, 0.32)
        draw.polygon([(left, 0), (right, 0), ((left + right) / 2, deep)], fill=main)
        draw.polygon([(left, h), (right, h), ((left + right) / 2, h - deep)], fill=main)
    for side in (-1, 1):
        _disc(draw, w * (0.5 + 0.14 * side), h * 0.45, w * 0.06, second)


def waves(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Ribbons, as music is often drawn."""
    for ribbon in range(int(random.integers(5, 9))):
        base, swing, phase = h * (0.15 + 0.09 * ribbon), h * 0.06, random.uniform(0, 6.3)
        line = [(x, base + swing * math.sin(phase + 9.0 * x / w)) for x in range(0, w + 4, 4)]
        draw.line(line, fill=(main, second)[ribbon % 2], width=max(2, w // 30))


def rings(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Rings around one point, as of a target or a lens."""
    x, y = w * random.uniform(0.35, 0.65), h * random.uniform(0.35, 0.55)
    count = int(random.integers(4, 8))
    for ring in range(count, 0, -1):
        _disc(draw, x, y, 0.48 * w * ring / count, (main, second)[ring % 2])


def pair(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Two circles that meet."""
    y, r = h * random.uniform(0.35, 0.5), w * random.uniform(0.2, 0.28)
    lift = h * random.uniform(-0.06, 0.06)
    _disc(draw, w / 2 - 0.7 * r, y - lift, r, main)
    _disc(draw, w / 2 + 0.7 * r, y + lift, r, second)
    _disc(draw, w / 2, y, 0.35 * r, _between(main, second))


def stripes(
    draw: ImageDraw.ImageDraw, w: int, h: int, random: Random, main: Colour, second: Colour
) -> None:
    """Slanted stripes and a star."""
    wide, slope = w * random.uniform(0.1, 0.2), random.choice([-1, 1])
    for stripe in range(-10, 20, 2):
        x = stripe * wide
        ends = [(x, 0), (x + wide, 0), (x + wide + slope * h / 2, h), (x + slope * h / 2, h)]
        draw.polygon(ends, fill=main)
    x, y, r = w / 2, h * random.uniform(0.35, 0.55), w * 0.26
    points = [
        (x + (r, 0.42 * r)[i % 2] * math.sin(i * math.pi / 5),
         y - (r, 0.42 * r)[i % 2] * math.cos(i * math.pi / 5))
        for i in range(10)
    ]  # fmt: skip
    draw.polygon(points, fill=second)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: Colour) -> None:
    draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _between(one: Colour, other: Colour) -> Colour:
    red, green, blue = ((a + b) // 2 for a, b in zip(one, other, strict=True))
    return red, green, blue


GENRE_MOTIFS: Mapping[str, Motif] = MappingProxyType(
    {
        "action": rays,
        "adventure": hills,
        "animation": balloons,
        "children": balloons,
        "children's": balloons,
        "comedy": confetti,
        "crime": blinds,
        "documentary": frames,
        "drama": horizon,
        "fantasy": planet,
        "film-noir": blinds,
        "horror": shards,
        "imax": frames,
        "musical": waves,
        "mystery": rings,
        "romance": pair,
        "sci-fi": planet,
        "thriller": rings,
        "war": stripes,
        "western": hills,
    }
)
"""MovieLens genre in lower case -> motif; `horizon` is used for any other genre."""
