"""Motifs of film itself, and of films about the world."""

from __future__ import annotations

import math

from pigeon_rec.demo.posters.shapes import (
    Layer,
    Random,
    arc,
    blob,
    box,
    curve,
    disc,
    layer,
    line,
    mirrored,
    moved,
    polygon,
    rounded,
    star,
)


def movie_camera(random: Random) -> list[Layer]:
    holes = [(0.19 * math.cos(a), 0.19 * math.sin(a)) for a in (0.3, 2.4, 4.5)]
    return [
        layer("second", disc(-0.45, -0.55, 0.42), disc(0.35, -0.6, 0.36)),
        layer("dark", [disc(-0.45 + x, -0.55 + y, 0.09) for x, y in holes], [disc(0.35 + x,
              -0.6 + y, 0.08) for x, y in holes]),
        layer("dark", line(0.09, (-0.1, 0.6), (-0.5, 1.05)), line(0.09, (-0.05, 0.6),
              (0.35, 1.05))),
        layer("main", rounded(-0.75, -0.2, 0.55, 0.65, 0.08), polygon((0.5, 0.1), (1.0, -0.15),
              (1.0, 0.62), (0.5, 0.38))),
        layer("light", disc(-0.4, 0.2, 0.16), rounded(0.0, 0.05, 0.35, 0.25, 0.04)),
    ]  # fmt: skip


def globe(random: Random) -> list[Layer]:
    return [
        layer("dark", arc(0, -0.15, (0.92, 0.92), (-50, 130), 0.08), box(-0.05, 0.7, 0.05, 0.95),
              rounded(-0.45, 0.9, 0.45, 1.05, 0.06)),
        layer("main", disc(0, -0.15, 0.76)),
        layer("second", blob((-0.5, -0.6), (-0.1, -0.65), (0.0, -0.35), (-0.25, -0.15),
              (-0.45, -0.2), (-0.62, -0.35)), blob((-0.3, 0.0), (-0.02, 0.05), (-0.1, 0.35),
              (-0.25, 0.45)),
              blob((0.25, -0.5), (0.55, -0.45), (0.62, -0.1), (0.4, 0.1), (0.35, 0.3), (0.2, 0.1),
                    (0.15, -0.2))),
        layer("light", arc(0, -0.15, (0.62, 0.62), (190, 245), 0.07)),
    ]  # fmt: skip


def aperture(random: Random) -> list[Layer]:
    turn = random.uniform(0, 60)
    inner = [math.radians(turn + 60 * k) for k in range(6)]
    blades = [
        line(
            0.05,
            (0.34 * math.cos(a), 0.34 * math.sin(a)),
            (0.8 * math.cos(a + 0.95), 0.8 * math.sin(a + 0.95)),
        )
        for a in inner
    ]
    return [
        layer("dark", disc(0, 0, 1.0)),
        layer("main", disc(0, 0, 0.82)),
        layer("second", blades),
        layer("light", polygon(*[(0.34 * math.cos(a), 0.34 * math.sin(a)) for a in inner])),
        layer("dark", disc(0, 0, 0.1)),
    ]


def reel(random: Random) -> list[Layer]:
    turn = random.uniform(0, 72)
    holes = [math.radians(turn + 72 * k) for k in range(5)]
    return [
        layer("second", curve(0.22, (0.75, 0.45), (0.95, 0.85), (0.6, 0.98), (-0.2, 0.98),
              (-0.95, 0.98))),
        layer("main", disc(0, -0.05, 0.88)),
        layer("light", [disc(0.5 * math.cos(a), -0.05 + 0.5 * math.sin(a),
              0.22) for a in holes], disc(0, -0.05, 0.1)),
        layer("dark", [box(x, 0.94, x + 0.1, 1.04) for x in (-0.85, -0.6, -0.35, -0.1, 0.15, 0.4)]),
    ]  # fmt: skip


def clapper(random: Random) -> list[Layer]:
    return [
        layer("main", rounded(-0.9, -0.2, 0.9, 0.9, 0.06)),
        layer("light", box(-0.9, -0.42, 0.9, -0.18), moved(box(0, -0.24, 1.8, 0),
              -0.9, -0.45, 1, -16)),
        layer("dark", [polygon((x, -0.18), (x + 0.2, -0.18), (x + 0.35, -0.42),
              (x + 0.15, -0.42)) for x in (-0.85, -0.35, 0.15)],
              [moved(polygon((x, 0), (x + 0.2, 0), (x + 0.05, -0.24), (x - 0.15, -0.24)),
                    -0.9, -0.45, 1, -16) for x in (0.25, 0.75, 1.25)]),
        layer("second", line(0.06, (-0.65, 0.2), (0.65, 0.2)), line(0.06, (-0.65, 0.45),
              (0.3, 0.45)), line(0.06, (-0.65, 0.68), (0.5, 0.68))),
    ]  # fmt: skip


def popcorn(random: Random) -> list[Layer]:
    return [
        layer("light", [disc(-0.5 + 0.2 * k, -0.48 - 0.14 * (k % 2),
              0.2) for k in range(6)], disc(-0.15, -0.78, 0.19), disc(0.18, -0.8, 0.18)),
        layer("main", polygon((-0.68, -0.4), (0.68, -0.4), (0.5, 0.95), (-0.5, 0.95))),
        layer("light", polygon((-0.42, -0.4), (-0.16, -0.4), (-0.12, 0.95), (-0.32, 0.95)),
              polygon((0.42, -0.4), (0.16, -0.4), (0.12, 0.95), (0.32, 0.95))),
        layer("second", disc(0, 0.28, 0.3)),
        layer("dark", star(0, 0.28, 0.2, 0.085)),
    ]  # fmt: skip


def curtain(random: Random) -> list[Layer]:
    return [
        layer("light", disc(0, 0.75, 0.6, 0.16), polygon((-0.1, -0.9), (0.1, -0.9), (0.6, 0.75),
              (-0.6, 0.75))),
        layer("main", mirrored(blob((0.12, -0.9), (1.05, -0.95), (1.02, 0.0), (1.05, 0.95),
              (0.72, 0.9), (0.66, 0.3), (0.42, -0.25)))),
        layer("dark", mirrored(curve(0.05, (0.5, -0.75), (0.75, -0.1), (0.85, 0.85)),
              curve(0.05, (0.8, -0.8), (0.92, 0.0), (0.96, 0.85)))),
        layer("second", [arc(x, -0.92, (0.27, 0.3), (0, 180)) for x in (-0.78, -0.26, 0.26,
              0.78)], mirrored(rounded(0.55, 0.12, 0.98, 0.24, 0.05))),
    ]  # fmt: skip
