"""Scenery behind a motif: land, sea, sky, town or stage, several for each genre.

Coordinates are in units of the poster's width, 0..1 in x and 0..1.5 in y. The ground begins at
`horizon`, on which a motif stands, and reaches the lower edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from pigeon_rec.demo.posters.shapes import (
    Layer,
    Random,
    Shape,
    arc,
    blob,
    box,
    curve,
    disc,
    layer,
    polygon,
    rounded,
    star,
)

__all__ = ["SCENERY", "Scenery", "choose_scenery"]

Scenery = Callable[[Random, float], list[Layer]]
"""Draws behind a motif, with the ground from a given height on."""

_LOW = 1.52  # below the lower edge


def stars(random: Random, horizon: float) -> list[Layer]:
    points = [(random.uniform(0.03, 0.97), random.uniform(0.03, horizon)) for _ in range(34)]
    sizes = random.choice([0.006, 0.009, 0.013], size=len(points))
    twinkling = [star(x, y, 0.04, 0.01, 4) for x, y in points[:6]]
    round_ones = [disc(x, y, size) for (x, y), size in zip(points[6:], sizes[6:], strict=True)]
    bend = random.uniform(1.1, 1.6)
    return [
        layer("sky", twinkling, round_ones),
        layer("far", disc(random.uniform(0.1, 0.9), horizon + 0.55, 0.62)),
        layer("near", disc(0.5, horizon + 0.06 + bend, bend)),
    ]


def hills(random: Random, horizon: float) -> list[Layer]:
    return [
        *_sun(random, horizon),
        layer("far", _ridge(random, horizon - 0.12, 0.09, 1.4)),
        layer("near", _ridge(random, horizon + 0.02, 0.05, 1.1)),
    ]


def mountains(random: Random, horizon: float) -> list[Layer]:
    tops = [(0.25 * k - 0.1, horizon - random.uniform(0.15, 0.42)) for k in range(6)]
    outline = [(-0.1, _LOW)]
    for x, y in tops:
        outline += [(x, y), (x + 0.13, horizon - 0.06)]
    return [
        *_sun(random, horizon),
        layer("far", polygon(*outline, (1.3, _LOW))),
        layer("near", _ridge(random, horizon + 0.03, 0.03, 1.5)),
    ]


def skyline(random: Random, horizon: float) -> list[Layer]:
    def row(top: float, spread: float, width: float) -> list[Shape]:
        lefts = [width * k - 0.04 for k in range(math.ceil(1.1 / width))]
        return [box(x, top - random.uniform(0, spread), x + width * 0.94, _LOW) for x in lefts]

    return [
        *_sun(random, horizon - 0.2),
        layer("far", row(horizon - 0.2, 0.34, 0.12)),
        layer("near", row(horizon + 0.06, 0.14, 0.17)),
    ]


def sea(random: Random, horizon: float) -> list[Layer]:
    def wave(y: float, phase: float) -> Shape:
        points = [(0.1 * k - 0.05, y + 0.018 * math.sin(phase + 2.1 * k)) for k in range(12)]
        return curve(0.018, *points)

    rows = [horizon + 0.06 + 0.09 * k for k in range(6)]
    return [
        *_sun(random, horizon, always=True),
        layer("near", box(-0.1, horizon - 0.02, 1.1, _LOW)),
        layer("far", [wave(y, random.uniform(0, 6)) for y in rows if y < _LOW]),
    ]


def desert(random: Random, horizon: float) -> list[Layer]:
    left = random.uniform(-0.1, 0.15)
    tops = [(left, 0.26, 0.3), (left + 0.6, 0.34, 0.22)]
    mesas = [
        polygon(
            (x, _LOW),
            (x + 0.05, horizon - high),
            (x + wide - 0.05, horizon - high),
            (x + wide, _LOW),
        )
        for x, wide, high in tops
    ]
    return [
        *_sun(random, horizon, always=True),
        layer("far", mesas),
        layer("near", _ridge(random, horizon, 0.03, 0.8)),
    ]


def forest(random: Random, horizon: float) -> list[Layer]:
    def fir(x: float, y: float, tall: float) -> list[Shape]:
        half = 0.24 * tall
        return [
            polygon((x - half * s, y - tall * low), (x, y - tall * top),
                  (x + half * s, y - tall * low))
            for low, top, s in ((0.0, 0.5, 1.0), (0.25, 0.78, 0.8), (0.52, 1.0, 0.6))
        ]  # fmt: skip

    back = [fir(0.11 * k, horizon + 0.05, random.uniform(0.34, 0.5)) for k in range(10)]
    sides = (0.02, 0.15, 0.87, 0.99)
    front = [fir(x, horizon + 0.14, random.uniform(0.4, 0.62)) for x in sides]
    return [
        *_sun(random, horizon - 0.1),
        layer("far", *back, box(-0.1, horizon + 0.03, 1.1, _LOW)),
        layer("near", *front, _ridge(random, horizon + 0.1, 0.02, 1.2)),
    ]


def clouds(random: Random, horizon: float) -> list[Layer]:
    def cloud(x: float, y: float, size: float) -> list[Shape]:
        return [
            disc(x, y, size), disc(x - size, y + 0.35 * size, 0.7 * size),
            disc(x + size, y + 0.35 * size, 0.75 * size),
            rounded(x - 1.6 * size, y + 0.3 * size, x + 1.7 * size, y + size, 0.35 * size),
        ]  # fmt: skip

    places = [(0.14, 0.16), (0.85, 0.34), (0.1, 0.72), (0.92, 0.95)]
    puffs = [
        cloud(x + random.uniform(-0.05, 0.05), y, random.uniform(0.06, 0.1)) for x, y in places
    ]
    low = [disc(0.13 * k, horizon + 0.16 + random.uniform(-0.03, 0.03), 0.13) for k in range(9)]
    return [
        layer("sky", *puffs),
        layer("near", low, box(-0.1, horizon + 0.16, 1.1, _LOW)),
    ]


def room(random: Random, horizon: float) -> list[Layer]:
    left, wide = random.uniform(0.06, 0.4), random.uniform(0.3, 0.5)
    top = horizon - random.uniform(0.75, 0.95)
    return [
        layer("sky", rounded(left, top, left + wide, top + 0.6, 0.03)),
        layer("far", box(left + wide / 2 - 0.012, top, left + wide / 2 + 0.012, top + 0.6),
              box(left, top + 0.28, left + wide, top + 0.304)),
        layer("near", box(-0.1, horizon - 0.02, 1.1, _LOW)),
    ]  # fmt: skip


def road(random: Random, horizon: float) -> list[Layer]:
    end, top = random.uniform(0.3, 0.7), horizon - 0.3
    marks = []
    for near, wide in ((0.02, 0.012), (0.14, 0.02), (0.3, 0.03), (0.5, 0.045)):
        y, below = top + near, top + near * 1.35 + 0.04
        x = end + (0.5 - end) * near / 0.9
        marks.append(
            polygon(
                (x - wide / 2, y),
                (x + wide / 2, y),
                (x + wide * 0.7, below),
                (x - wide * 0.7, below),
            )
        )
    return [
        *_sun(random, top),
        layer("far", box(-0.1, top, 1.1, _LOW)),
        layer("near", polygon((end - 0.015, top), (end + 0.015, top), (1.05, _LOW), (-0.05, _LOW))),
        layer("sky", marks),
    ]  # fmt: skip


def curtains(random: Random, horizon: float) -> list[Layer]:
    def drape(side: float) -> list[Shape]:
        def x(inwards: float) -> float:
            return 0.5 + side * (0.5 - inwards)

        return [blob((x(-0.08), -0.05), (x(0.28), -0.05), (x(0.24), 0.4), (x(0.1), 0.75),
                     (x(0.16), 1.1), (x(0.17), 1.55), (x(-0.08), 1.55))]  # fmt: skip

    folds = [arc(0.125 + 0.25 * k, -0.02, (0.14, 0.12), (0, 180)) for k in range(4)]
    return [
        layer("sky", disc(0.5, horizon + 0.02, random.uniform(0.34, 0.46), 0.07)),
        layer("far", box(-0.1, horizon + 0.05, 1.1, _LOW)),
        layer("near", drape(-1.0), drape(1.0), folds),
    ]


def circle(random: Random, horizon: float) -> list[Layer]:
    radius = random.uniform(0.36, 0.44)
    return [
        layer("sky", disc(0.5, horizon - 0.3, radius)),
        layer("near", box(-0.1, horizon + random.uniform(0.02, 0.06), 1.1, _LOW)),
    ]


def arch(random: Random, horizon: float) -> list[Layer]:
    half = random.uniform(0.32, 0.4)
    top, foot = horizon - 0.45, horizon + 0.12
    gate = [disc(0.5, top, half), box(0.5 - half, top, 0.5 + half, foot)]
    inner = half - 0.06
    return [
        layer("far", gate),
        layer("sky", disc(0.5, top, inner), box(0.5 - inner, top, 0.5 + inner, foot)),
        layer("near", box(-0.1, foot - 0.02, 1.1, _LOW)),
    ]


def graves(random: Random, horizon: float) -> list[Layer]:
    stones: list[Shape] = []
    for x in (0.06, 0.22, 0.78, 0.95):
        top = horizon - random.uniform(0.1, 0.22)
        if random.random() < 0.5:
            stones += [disc(x, top, 0.06), box(x - 0.06, top, x + 0.06, _LOW)]
        else:
            stones += [
                box(x - 0.022, top - 0.08, x + 0.022, _LOW),
                box(x - 0.075, top, x + 0.075, top + 0.045),
            ]
    return [
        *_sun(random, horizon - 0.2, always=True),
        layer("far", _ridge(random, horizon - 0.08, 0.05, 1.3)),
        layer("near", stones, _ridge(random, horizon + 0.04, 0.02, 1.1)),
    ]


def bunting(random: Random, horizon: float) -> list[Layer]:
    flags: list[Shape] = []
    for y, sag in ((0.05, 0.12), (0.22, 0.14)):
        flags.append(curve(0.01, *[(0.1 * k - 0.05, y + _sag(k, sag)) for k in range(12)]))
        flags += [
            polygon((0.1 * k - 0.04, y + _sag(k, sag)), (0.1 * k + 0.05, y + _sag(k + 0.9, sag)),
                    (0.1 * k + 0.01, y + _sag(k + 0.4, sag) + 0.1)) for k in range(11)
        ]  # fmt: skip
    bits = [(random.uniform(0, 1), random.uniform(0.4, horizon)) for _ in range(16)]
    return [
        layer("sky", flags),
        layer("far", [disc(x, y, 0.014) for x, y in bits]),
        layer("near", box(-0.1, horizon + 0.03, 1.1, _LOW)),
    ]


def _sag(place: float, depth: float) -> float:
    return depth * (1 - ((place - 5.5) / 5.5) ** 2)


def _sun(random: Random, horizon: float, *, always: bool = False) -> list[Layer]:
    x, radius = random.choice([0.2, 0.8]), random.uniform(0.1, 0.2)
    lift = random.uniform(0.3, 0.65)
    shown = random.random() < 0.6
    return [layer("sky", disc(x, horizon - lift, radius))] if shown or always else []


def _ridge(random: Random, height: float, swing: float, waves: float) -> Shape:
    phase = random.uniform(0, 2 * math.pi)
    xs = [0.05 * k - 0.1 for k in range(25)]
    tops = [(x, height + swing * math.sin(phase + 2 * math.pi * waves * x)) for x in xs]
    return polygon((-0.1, _LOW), *tops, (1.1, _LOW))


SCENERY: Final[Mapping[str, Scenery]] = MappingProxyType(
    {
        "stars": stars, "hills": hills, "mountains": mountains, "skyline": skyline, "sea": sea,
        "desert": desert, "forest": forest, "clouds": clouds, "room": room, "road": road,
        "stage": curtains, "circle": circle, "arch": arch, "graves": graves,
        "bunting": bunting,
    }
)  # fmt: skip
"""What the scenery shows, in words -> the scenery."""

_OF_GENRE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "action": ("skyline", "road", "mountains", "circle"),
        "adventure": ("mountains", "sea", "hills", "forest"),
        "animation": ("clouds", "hills", "bunting"),
        "children": ("clouds", "bunting", "hills"),
        "comedy": ("bunting", "circle", "room", "clouds"),
        "crime": ("skyline", "room", "arch", "road"),
        "documentary": ("circle", "arch", "hills"),
        "drama": ("hills", "room", "sea", "arch", "circle", "road", "skyline"),
        "fantasy": ("stars", "forest", "mountains"),
        "film-noir": ("skyline", "room", "road"),
        "horror": ("graves", "forest", "circle"),
        "musical": ("stage", "bunting", "circle"),
        "mystery": ("forest", "arch", "room", "stage"),
        "romance": ("sea", "hills", "clouds", "circle", "stars"),
        "sci-fi": ("stars", "circle", "desert"),
        "thriller": ("road", "skyline", "arch", "forest"),
        "war": ("hills", "mountains", "skyline"),
        "western": ("desert", "hills", "circle"),
    }
)


def choose_scenery(genre: str, random: Random) -> str:
    """One of the genre's scenes; any scene for a genre that is not MovieLens'."""
    scenes = _OF_GENRE.get(genre, tuple(SCENERY))
    return scenes[int(random.integers(len(scenes)))]
