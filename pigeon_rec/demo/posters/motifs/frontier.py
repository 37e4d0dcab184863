"""Motifs of the west, of war, of adventure and of action."""

from __future__ import annotations

import math

from pigeon_rec.demo.posters.shapes import (
    Layer,
    Random,
    arc,
    blob,
    box,
    crescent,
    curve,
    disc,
    layer,
    line,
    mirrored,
    moved,
    polygon,
    ring,
    rounded,
    star,
)


def cactus(random: Random) -> list[Layer]:
    low = random.uniform(0.1, 0.3)
    return [
        layer(
            "main",
            line(0.42, (0, 0.9), (0, -0.75)),
            line(0.27, (0, low), (-0.6, low), (-0.6, low - 0.55)),
            line(0.27, (0, low - 0.3), (0.56, low - 0.3), (0.56, low - 0.8)),
        ),
        layer("light", line(0.05, (-0.07, 0.75), (-0.07, -0.7)), line(0.05, (0.08, 0.75),
              (0.08, -0.65))),
        layer("second", star(0.02, -0.98, 0.2, 0.09, 6), disc(0.56, low - 0.95, 0.09)),
    ]  # fmt: skip


def hat(random: Random) -> list[Layer]:
    dent = random.uniform(0.02, 0.12)
    return [
        layer("main", blob((-0.55, 0.35), (-0.5, -0.45), (-0.28, -0.62), (0, -0.62 + dent),
                           (0.28, -0.62), (0.5, -0.45), (0.55, 0.35), (0, 0.5))),
        layer("dark", polygon((-0.56, 0.08), (0.56, 0.08), (0.56, 0.32), (-0.56, 0.32))),
        layer("second", blob((-1.0, 0.1), (-0.75, 0.28), (0, 0.32), (0.75, 0.28), (1.0, 0.1),
                             (0.85, 0.48), (0.4, 0.62), (0, 0.64), (-0.4, 0.62), (-0.85, 0.48))),
        layer("light", star(0, 0.2, 0.13, 0.055)),
    ]  # fmt: skip


def horseshoe(random: Random) -> list[Layer]:
    nails = [(0.72 * math.cos(a), 0.72 * math.sin(a) - 0.1) for a in (-2.9, -2.3, -0.84, -0.24)]
    shoe = [(math.cos(a) * 0.72, math.sin(a) * 0.72 - 0.1) for a in
            (2.55, 2.9, 3.3, 3.7, 4.1, 4.5, 4.71, 4.92, 5.3, 5.7, 6.1, 6.52, 6.87)]  # fmt: skip
    ends = [(-0.48, 0.72), *shoe, (0.48, 0.72)]
    return [
        layer("main", curve(0.34, *ends)),
        layer("second", mirrored(rounded(-0.72, 0.66, -0.3, 0.9, 0.06))),
        layer("dark", [disc(x, y, 0.055) for x, y in nails], mirrored(disc(-0.66, 0.35, 0.055))),
        layer("light", arc(0, -0.1, (0.6, 0.6), (200, 340), 0.05)),
    ]


def badge(random: Random) -> list[Layer]:
    tips = int(random.integers(5, 7))
    angles = [2 * math.pi * k / tips - math.pi / 2 for k in range(tips)]
    return [
        layer("main", star(0, 0, 0.9, 0.45, tips),
              [disc(0.9 * math.cos(a), 0.9 * math.sin(a), 0.12) for a in angles]),
        layer("dark", disc(0, 0, 0.4)),
        layer("second", disc(0, 0, 0.33)),
        layer("light", star(0, 0, 0.26, 0.11, 5)),
    ]  # fmt: skip


def wheel(random: Random) -> list[Layer]:
    turn = random.uniform(0, math.pi)
    spokes = [turn + k * math.pi / 5 for k in range(5)]
    return [
        layer("second", [line(0.09, (-0.8 * math.cos(a), -0.8 * math.sin(a)),
                              (0.8 * math.cos(a), 0.8 * math.sin(a))) for a in spokes]),
        layer("main", ring(0, 0, 0.95, 0.74)),
        layer("main", disc(0, 0, 0.24)),
        layer("light", disc(0, 0, 0.1)),
    ]  # fmt: skip


def boot(random: Random) -> list[Layer]:
    return [
        layer("main", blob((-0.5, -0.95), (0.1, -0.95), (0.12, -0.2), (0.3, 0.2), (0.85, 0.42),
                           (0.9, 0.68), (0.3, 0.7), (-0.1, 0.62), (-0.5, 0.68), (-0.55, 0.1))),
        layer("dark", rounded(-0.56, 0.62, -0.16, 0.95, 0.04), rounded(-0.2, 0.64, 0.92, 0.78,
              0.06)),
        layer("second", polygon((-0.56, -0.98), (0.16, -0.98), (0.16, -0.72), (-0.2, -0.5),
              (-0.56, -0.72)),
              star(-0.72, 0.42, 0.2, 0.09, 7)),
        layer("light", star(-0.2, -0.2, 0.2, 0.08)),
    ]  # fmt: skip


def helmet(random: Random) -> list[Layer]:
    return [
        layer("dark", curve(0.08, (-0.6, 0.2), (-0.42, 0.75), (0, 0.95), (0.42, 0.75), (0.6, 0.2))),
        layer("main", blob((-0.85, 0.2), (-0.78, -0.35), (-0.4, -0.75), (0, -0.82), (0.4, -0.75),
                           (0.78, -0.35), (0.85, 0.2), (0, 0.3))),
        layer("second", blob((-1.0, 0.28), (-0.8, 0.1), (0, 0.02), (0.8, 0.1), (1.0, 0.28),
                             (0.6, 0.34), (0, 0.3), (-0.6, 0.34))),
        layer("light", star(0, -0.35, 0.26, 0.105)),
    ]  # fmt: skip


def tank(random: Random) -> list[Layer]:
    lift = random.uniform(-0.2, 0.0)
    return [
        layer("main", line(0.12, (0.2, -0.35), (1.05, -0.45 + lift))),
        layer("main", rounded(-0.5, -0.6, 0.35, -0.1, 0.16)),
        layer("second", polygon((-0.95, -0.12), (0.95, -0.12), (1.05, 0.2), (-1.05, 0.2))),
        layer("dark", rounded(-1.05, 0.15, 1.05, 0.72, 0.28)),
        layer("light", [disc(x, 0.44, 0.15) for x in (-0.72, -0.36, 0, 0.36, 0.72)]),
        layer("light", star(-0.08, -0.34, 0.16, 0.065)),
    ]


def medal(random: Random) -> list[Layer]:
    return [
        layer("second", polygon((-0.42, -1), (-0.1, -1), (0.22, 0), (-0.1, 0))),
        layer("dark", polygon((0.42, -1), (0.1, -1), (-0.22, 0), (0.1, 0))),
        layer("main", star(0, 0.4, 0.62, 0.34, 8), disc(0, 0.4, 0.46)),
        layer("light", disc(0, 0.4, 0.36)),
        layer("second", star(0, 0.4, 0.28, 0.115)),
    ]


def bomber(random: Random) -> list[Layer]:
    return [
        layer("main", blob((0, -0.95), (0.14, -0.6), (0.12, 0.5), (0.05, 0.95), (-0.05, 0.95),
                           (-0.12, 0.5), (-0.14, -0.6))),
        layer("main", mirrored(polygon((0.08, -0.35), (1.05, -0.02), (1.05, 0.2), (0.08, 0.1)),
                               polygon((0.05, 0.62), (0.42, 0.78), (0.42, 0.92), (0.05, 0.86)))),
        layer("dark", mirrored(rounded(0.32, -0.45, 0.46, 0.0, 0.07))),
        layer("light", mirrored(disc(0.76, 0.03, 0.13)), disc(0, -0.62, 0.08, 0.14)),
        layer("second", mirrored(disc(0.76, 0.03, 0.065))),
    ]  # fmt: skip


def compass(random: Random) -> list[Layer]:
    angle = math.radians(random.uniform(-50, 50))
    x, y = math.sin(angle), -math.cos(angle)
    left, right = (-0.16 * y, 0.16 * x), (0.16 * y, -0.16 * x)
    return [
        layer("main", disc(0, 0, 0.95), disc(0, -1.0, 0.16)),
        layer("light", disc(0, 0, 0.76)),
        layer("dark", [box(-0.03 + 0.66 * a, -0.03 + 0.66 * b, 0.03 + 0.66 * a, 0.03 + 0.66 * b)
                       for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]),
        layer("second", polygon(left, (0.6 * x, 0.6 * y), right)),
        layer("dark", polygon(left, (-0.6 * x, -0.6 * y), right)),
        layer("main", disc(0, 0, 0.08)),
    ]  # fmt: skip


def ship(random: Random) -> list[Layer]:
    return [
        layer("dark", line(0.06, (-0.05, 0.4), (-0.05, -1.0)), line(0.05, (0.55, 0.4),
              (0.55, -0.6))),
        layer("light", polygon((-0.12, -0.9), (-0.12, 0.25), (-0.85, 0.25)),
              polygon((0.5, -0.5), (0.5, 0.25), (0.98, 0.25))),
        layer("second", polygon((0.02, -0.8), (0.45, 0.25), (0.02, 0.25)),
              polygon((-0.05, -1.0), (0.3, -0.92), (-0.05, -0.84))),
        layer("main", blob((-1.0, 0.32), (0, 0.4), (1.05, 0.28), (0.75, 0.78), (0.3, 0.86),
                           (-0.55, 0.86), (-0.85, 0.7))),
        layer("light", [disc(x, 0.6, 0.055) for x in (-0.5, -0.2, 0.1, 0.4)]),
    ]  # fmt: skip


def balloon(random: Random) -> list[Layer]:
    return [
        layer("dark", line(0.03, (-0.4, 0.15), (-0.14, 0.72)), line(0.03, (0.4, 0.15),
              (0.14, 0.72)),
              line(0.03, (0, 0.3), (0, 0.72))),
        layer("main", blob((0, -1.0), (0.5, -0.85), (0.72, -0.4), (0.55, 0.05), (0.22, 0.42),
                           (-0.22, 0.42), (-0.55, 0.05), (-0.72, -0.4), (-0.5, -0.85))),
        layer("second", blob((0, -1.0), (0.27, -0.6), (0.27, -0.1), (0.1, 0.42), (-0.1, 0.42),
                             (-0.27, -0.1), (-0.27, -0.6))),
        layer("light", blob((0, -1.0), (0.08, -0.5), (0.05, 0.42), (-0.05, 0.42), (-0.08, -0.5))),
        layer("dark", rounded(-0.18, 0.68, 0.18, 0.98, 0.06)),
    ]  # fmt: skip


def peak(random: Random) -> list[Layer]:
    return [
        layer("second", polygon((-0.2, 0.85), (0.5, -0.2), (1.1, 0.85))),
        layer("main", polygon((-1.1, 0.85), (-0.15, -0.75), (0.75, 0.85))),
        layer("dark", polygon((-0.15, -0.75), (0.75, 0.85), (0.1, 0.85), (0.05, 0.2),
              (-0.1, -0.1))),
        layer("light", polygon((-0.15, -0.75), (0.16, -0.2), (0.0, -0.28), (-0.1, -0.05),
                               (-0.25, -0.25), (-0.45, -0.22))),
        layer("second", line(0.04, (-0.15, -0.75), (-0.15, -1.1)),
              polygon((-0.15, -1.12), (0.2, -1.0), (-0.15, -0.9))),
    ]  # fmt: skip


def chest(random: Random) -> list[Layer]:
    return [
        layer("light", [disc(-0.55 + 0.22 * k, -0.02 - 0.12 * (k % 2), 0.15) for k in range(6)]),
        layer("second", polygon((-0.85, -0.35), (-0.7, -0.85), (0.7, -0.85), (0.85, -0.35),
                                (0.75, -0.3), (-0.75, -0.3))),
        layer("main", rounded(-0.85, 0.05, 0.85, 0.8, 0.06)),
        layer("dark", mirrored(box(0.5, 0.05, 0.66, 0.8)), box(-0.85, 0.05, 0.85, 0.17)),
        layer("light", rounded(-0.13, 0.1, 0.13, 0.45, 0.05)),
        layer("dark", disc(0, 0.25, 0.05)),
    ]  # fmt: skip


def bomb(random: Random) -> list[Layer]:
    return [
        layer("second", curve(0.07, (0.35, -0.45), (0.5, -0.7), (0.72, -0.72), (0.8, -0.9))),
        layer("main", moved(rounded(-0.2, -0.95, 0.2, -0.6, 0.05), -0.08, 0.3, 1, 37)),
        layer("main", disc(-0.1, 0.2, 0.75)),
        layer("dark", crescent(-0.1, 0.2, 0.75, 60, 0.22)),
        layer("light", star(0.82, -0.92, 0.28, 0.1, 8), disc(-0.38, -0.1, 0.13, 0.1)),
    ]


def car(random: Random) -> list[Layer]:
    return [
        layer("dark", mirrored(rounded(-0.92, 0.3, -0.55, 0.85, 0.1))),
        layer("main", polygon((-0.55, -0.6), (0.55, -0.6), (0.8, -0.05), (-0.8, -0.05)),
              rounded(-0.98, -0.12, 0.98, 0.55, 0.2)),
        layer("light", polygon((-0.45, -0.48), (0.45, -0.48), (0.6, -0.1), (-0.6, -0.1))),
        layer("second", rounded(-0.45, 0.1, 0.45, 0.36, 0.08)),
        layer("light", mirrored(disc(-0.7, 0.18, 0.17))),
        layer("dark", rounded(-1.0, 0.46, 1.0, 0.62, 0.07), [box(x, 0.14, x + 0.05,
              0.32) for x in (-0.3, -0.12, 0.06, 0.24)]),
    ]  # fmt: skip


def jet(random: Random) -> list[Layer]:
    turn = random.uniform(15, 40)
    layers = [
        layer("light", mirrored(blob((0.04, 0.8), (0.1, 1.25), (0.18, 0.8)))),
        layer("main", mirrored(polygon((0.1, -0.35), (0.98, 0.42), (0.98, 0.58), (0.1, 0.48)),
                               polygon((0.08, 0.5), (0.5, 0.82), (0.5, 0.94), (0.08, 0.84)))),
        layer("second", polygon((0, -1.15), (0.15, -0.6), (0.2, 0.85), (-0.2, 0.85),
              (-0.15, -0.6))),
        layer("dark", blob((0, -0.85), (0.09, -0.5), (0, -0.25), (-0.09, -0.5)),
              mirrored(line(0.05, (0.98, 0.3), (0.98, 0.66)))),
    ]  # fmt: skip
    return [layer(one.role, [moved(s, 0, 0, 0.9, turn) for s in one.shapes]) for one in layers]


def bolt(random: Random) -> list[Layer]:
    return [
        layer("second", ring(0, 0, 0.95, 0.78)),
        layer("dark", disc(0, 0, 0.78)),
        layer("main", polygon((0.25, -1.1), (-0.5, 0.12), (-0.06, 0.12), (-0.28, 1.1), (0.55, -0.2),
                              (0.08, -0.2))),
        layer("light", polygon((0.2, -0.95), (-0.4, 0.05), (-0.28, 0.05), (0.12, -0.6))),
    ]  # fmt: skip
