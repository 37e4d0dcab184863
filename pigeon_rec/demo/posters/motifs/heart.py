"""Motifs of love, of everyday life and of childhood: romance, drama, animation, children."""

from __future__ import annotations

import math

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
    line,
    mirrored,
    moved,
    polygon,
    ring,
    rounded,
    star,
)


def _heart_shape() -> Shape:
    angles = [2 * math.pi * k / 40 for k in range(40)]
    return polygon(*[(math.sin(a) ** 3,
          -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a)
                                          - math.cos(4 * a)) / 16) for a in angles])  # fmt: skip


def heart(random: Random) -> list[Layer]:
    return [
        layer("main", moved(_heart_shape(), 0, -0.05, 0.95)),
        layer("light", curve(0.1, (-0.68, -0.2), (-0.66, -0.5), (-0.4, -0.68))),
        layer("dark", line(0.08, (-1.05, 0.5), (-0.62, 0.26)), line(0.08, (0.6, -0.42),
              (1.0, -0.64))),
        layer("second", polygon((1.2, -0.76), (0.86, -0.78), (1.02, -0.46)),
              polygon((-1.08, 0.34), (-0.86, 0.4), (-0.86, 0.56), (-1.16, 0.7))),
    ]  # fmt: skip


def broken_heart(random: Random) -> list[Layer]:
    crack = [(0.05, -0.7), (-0.12, -0.35), (0.12, -0.05), (-0.08, 0.3), (0.04, 0.9)]
    return [
        layer("main", moved(_heart_shape(), 0, -0.05, 0.95)),
        layer("light", line(0.12, *crack)),
        layer("second", line(0.05, (-0.55, 0.0), (-0.3, 0.24)), line(0.05, (-0.3, 0.0),
              (-0.55, 0.24)),
              line(0.05, (0.35, -0.3), (0.6, -0.06)), line(0.05, (0.6, -0.3), (0.35, -0.06))),
    ]  # fmt: skip


def rose(random: Random) -> list[Layer]:
    return [
        layer("second", curve(0.09, (0, -0.1), (0.06, 0.4), (-0.05, 1.0)),
              blob((0.05, 0.55), (0.35, 0.2), (0.65, 0.25), (0.4, 0.6)),
              blob((-0.02, 0.75), (-0.3, 0.4), (-0.62, 0.42), (-0.4, 0.78))),
        layer("main", disc(0, -0.45, 0.5), disc(-0.3, -0.3, 0.34), disc(0.3, -0.3, 0.34),
              disc(0, -0.1, 0.34)),
        layer("dark", arc(0, -0.45, (0.34, 0.3), (150, 420), 0.07), arc(0.02, -0.42, (0.17, 0.14),
              (0, 270), 0.07)),
        layer("light", curve(0.06, (-0.5, -0.25), (-0.3, -0.02), (0.0, 0.08), (0.3, -0.02),
              (0.5, -0.25))),
    ]  # fmt: skip


def letter(random: Random) -> list[Layer]:
    return [
        layer("light", rounded(-0.95, -0.6, 0.95, 0.65, 0.06)),
        layer("dark", line(0.05, (-0.9, 0.6), (-0.25, 0.05)), line(0.05, (0.9, 0.6), (0.25, 0.05))),
        layer("second", polygon((-0.95, -0.58), (0.95, -0.58), (0, 0.22))),
        layer("main", moved(_heart_shape(), 0, 0.1, 0.32)),
    ]


def rings(random: Random) -> list[Layer]:
    return [
        layer("main", ring(-0.36, 0.2, 0.62, 0.47)),
        layer("second", ring(0.36, 0.2, 0.62, 0.47)),
        layer("main", arc(-0.36, 0.2, (0.545, 0.545), (-60, 20), 0.15)),
        layer(
            "light",
            polygon((0.36, -0.32), (0.08, -0.62), (0.2, -0.85), (0.52, -0.85), (0.64, -0.62)),
        ),
        layer(
            "dark",
            line(0.04, (0.08, -0.62), (0.64, -0.62)),
            line(0.04, (0.36, -0.84), (0.36, -0.34)),
        ),
    ]


def wine_glasses(random: Random) -> list[Layer]:
    glass = [
        layer("light", polygon((-0.36, -0.85), (0.36, -0.85), (0.26, -0.2), (0.06, -0.02),
              (-0.06, -0.02), (-0.26, -0.2)),
              box(-0.045, -0.1, 0.045, 0.75), rounded(-0.28, 0.72, 0.28, 0.84, 0.05)),
        layer("main", polygon((-0.32, -0.55), (0.32, -0.55), (0.25, -0.2), (0.06, -0.06),
              (-0.06, -0.06), (-0.25, -0.2))),
    ]  # fmt: skip
    both = [
        layer(one.role, [moved(s, -0.46, 0.05, 1, 14) for s in one.shapes], [moved(s, 0.46, 0.05,
              1, -14) for s in one.shapes])
        for one in glass
    ]  # fmt: skip
    return [*both, layer("second", star(0, -0.98, 0.2, 0.07, 6))]


def couple(random: Random) -> list[Layer]:
    return [
        layer("main", blob((-0.95, 1.0), (-0.85, 0.4), (-0.5, 0.22), (-0.15, 0.35), (-0.05, 1.0)),
              disc(-0.4, -0.12, 0.32), polygon((-0.2, -0.2), (-0.04, -0.08), (-0.2, 0.05))),
        layer("second", blob((0.95, 1.0), (0.85, 0.45), (0.5, 0.28), (0.15, 0.38), (0.05, 1.0)),
              disc(0.38, -0.05, 0.3), polygon((0.2, -0.14), (0.04, -0.05), (0.2, 0.1)),
              blob((0.3, -0.36), (0.62, -0.4), (0.8, 0.0), (0.75, 0.45), (0.55, 0.3),
                    (0.6, -0.05))),
        layer("light", moved(_heart_shape(), 0, -0.72, 0.24)),
    ]  # fmt: skip


def tree(random: Random) -> list[Layer]:
    side = random.uniform(-0.1, 0.1)
    return [
        layer("dark", polygon((-0.1, -0.1), (0.1, -0.1), (0.14, 0.75), (0.3, 0.98), (-0.3, 0.98),
              (-0.14, 0.75)),
              line(0.07, (0, 0.35), (0.36, 0.0)), line(0.07, (0, 0.25), (-0.34, -0.05))),
        layer("main", disc(-0.45, -0.2, 0.36), disc(0.45, -0.2, 0.38), disc(side, -0.6, 0.42),
              disc(0, -0.25, 0.42)),
        layer("second", disc(-0.4, -0.28, 0.2), disc(side, -0.7, 0.24), disc(0.42, -0.3, 0.2)),
        layer("light", [disc(x, y, 0.055) for x, y in ((-0.55, -0.05), (-0.1, -0.4),
              (0.25, -0.62), (0.55, -0.02), (0.12, -0.08))]),
    ]  # fmt: skip


def door(random: Random) -> list[Layer]:
    return [
        layer("light", polygon((-0.34, 0.72), (0.42, 0.72), (0.95, 1.1), (-0.75, 1.1))),
        layer("dark", box(-0.52, -1.0, 0.6, 0.74)),
        layer("light", box(-0.34, -0.85, 0.42, 0.74)),
        layer("main", polygon((-0.34, -0.85), (0.05, -0.65), (0.05, 0.9), (-0.34, 0.74))),
        layer("second", polygon((-0.25, -0.62), (-0.05, -0.52), (-0.05, -0.05), (-0.25, -0.1)),
              polygon((-0.25, 0.1), (-0.05, 0.12), (-0.05, 0.62), (-0.25, 0.54)),
                    disc(0.0, 0.05, 0.05)),
    ]  # fmt: skip


def candle(random: Random) -> list[Layer]:
    return [
        layer("second", disc(0, -0.58, 0.5)),
        layer("main", blob((0, -1.05), (0.2, -0.6), (0.12, -0.32), (0, -0.26), (-0.12, -0.32),
              (-0.2, -0.6))),
        layer("light", blob((0, -0.75), (0.08, -0.5), (0, -0.36), (-0.08, -0.5)),
              rounded(-0.22, -0.18, 0.22, 0.72, 0.05), curve(0.12, (0.16, -0.15), (0.2, 0.1),
                    (0.17, 0.25))),
        layer("dark", line(0.04, (0, -0.18), (0, -0.36)), blob((-0.65, 0.7), (0, 0.62),
              (0.65, 0.7), (0.4, 0.95), (-0.4, 0.95)),
              ring(0.72, 0.72, 0.2, 0.12)),
    ]  # fmt: skip


def umbrella(random: Random) -> list[Layer]:
    drops = [(-0.75, 0.35), (-0.42, 0.65), (0.45, 0.5), (0.78, 0.25), (0.7, 0.8), (-0.7, 0.9)]
    return [
        layer("dark", line(0.07, (0, -0.95), (0, 0.75)), arc(0.14, 0.75, (0.14, 0.16), (0, 180),
              0.07)),
        layer("main", arc(0, 0.0, (1.0, 0.85), (180, 360)), disc(-0.75, 0.0, 0.25, 0.1),
              disc(-0.25, 0.0, 0.25, 0.1),
              disc(0.25, 0.0, 0.25, 0.1), disc(0.75, 0.0, 0.25, 0.1)),
        layer("second", blob((0, -0.85), (0.42, -0.45), (0.5, 0.02), (0.25, -0.06), (0, 0.02),
              (-0.25, -0.06), (-0.5, 0.02), (-0.42, -0.45))),
        layer("light", [blob((x, y - 0.12), (x + 0.06, y + 0.02), (x, y + 0.08),
              (x - 0.06, y + 0.02)) for x, y in drops]),
    ]  # fmt: skip


def lighthouse(random: Random) -> list[Layer]:
    return [
        layer("second", polygon((0.1, -0.66), (1.2, -1.0), (1.2, -0.25), (0.1, -0.56)),
              polygon((-0.1, -0.66), (-1.2, -1.0), (-1.2, -0.25), (-0.1, -0.56))),
        layer("light", polygon((-0.2, -0.4), (0.2, -0.4), (0.34, 0.85), (-0.34, 0.85))),
        layer("main", polygon((-0.22, -0.2), (0.22, -0.2), (0.25, 0.08), (-0.25, 0.08)),
              polygon((-0.28, 0.36), (0.28, 0.36), (0.31, 0.62), (-0.31, 0.62)),
              polygon((-0.26, -0.75), (0, -1.0), (0.26, -0.75))),
        layer("dark", rounded(-0.3, -0.46, 0.3, -0.36, 0.03), mirrored(box(0.15, -0.76, 0.2, -0.4)),
              blob((-0.9, 1.0), (-0.5, 0.78), (0, 0.84), (0.5, 0.76), (0.9, 1.0), (0, 1.08))),
        layer("light", disc(0, -0.6, 0.12)),
    ]  # fmt: skip


def hourglass(random: Random) -> list[Layer]:
    return [
        layer("light", polygon((-0.48, -0.82), (0.48, -0.82), (0.4, -0.4), (0.06, 0), (0.4, 0.4),
              (0.48, 0.82),
                               (-0.48, 0.82), (-0.4, 0.4), (-0.06, 0), (-0.4, -0.4))),
        layer("main", polygon((-0.34, -0.4), (0.34, -0.4), (0.05, -0.04), (-0.05, -0.04)),
              line(0.05, (0, 0), (0, 0.4)),
              blob((-0.42, 0.8), (-0.3, 0.52), (0, 0.32), (0.3, 0.52), (0.42, 0.8))),
        layer("second", rounded(-0.68, -1.0, 0.68, -0.8, 0.06),
              rounded(-0.68, 0.8, 0.68, 1.0, 0.06)),
        layer("dark", mirrored(line(0.07, (0.58, -0.8), (0.58, 0.8)))),
    ]  # fmt: skip


def book(random: Random) -> list[Layer]:
    return [
        layer("main", polygon((-1.02, -0.32), (0, -0.18), (1.02, -0.32), (1.02, 0.62), (0, 0.78),
              (-1.02, 0.62))),
        layer("light", mirrored(blob((0.0, -0.3), (0.35, -0.46), (0.92, -0.42), (0.92, 0.5),
              (0.4, 0.46), (0.0, 0.64)))),
        layer("dark", mirrored(*[line(0.04, (0.2, y), (0.75, y - 0.02)) for y in (-0.2, -0.02,
              0.16)]), line(0.04, (0, -0.25), (0, 0.66))),
        layer("second", polygon((0.48, -0.46), (0.7, -0.46), (0.7, 0.95), (0.59, 0.8),
              (0.48, 0.95)),
              star(0, -0.78, 0.22, 0.09), star(-0.42, -0.72, 0.12, 0.05)),
    ]  # fmt: skip


def bicycle(random: Random) -> list[Layer]:
    return [
        layer("second", mirrored(ring(-0.6, 0.4, 0.42, 0.33))),
        layer("main", line(0.08, (-0.6, 0.4), (-0.24, -0.2), (0.36, -0.2), (0.04, 0.42),
              (-0.24, -0.2)),
              line(0.08, (-0.6, 0.4), (0.04, 0.42)), line(0.08, (0.6, 0.4), (0.3, -0.5))),
        layer("dark", line(0.1, (-0.42, -0.38), (-0.1, -0.38)), line(0.06, (-0.25, -0.36),
              (-0.22, -0.2)),
              curve(0.08, (0.3, -0.5), (0.46, -0.58), (0.6, -0.46)), disc(0.04, 0.42, 0.1)),
        layer("light", mirrored(disc(-0.6, 0.4, 0.08))),
    ]  # fmt: skip


def window(random: Random) -> list[Layer]:
    return [
        layer("second", rounded(-0.72, -0.95, 0.72, 0.8, 0.04)),
        layer("light", mirrored(box(0.06, -0.82, 0.6, -0.12), box(0.06, 0.0, 0.6, 0.68))),
        layer("main", mirrored(blob((0.15, -0.95), (0.85, -0.95), (0.82, 0.0), (0.86, 0.75),
              (0.55, 0.72), (0.62, 0.1), (0.4, -0.45)))),
        layer("dark", rounded(-0.9, 0.76, 0.9, 0.92, 0.04), rounded(-0.85, -1.04, 0.85, -0.93,
              0.04)),
        layer("dark", disc(0, 0.45, 0.14), polygon((-0.12, 0.76), (-0.1, 0.5), (0.1, 0.5),
              (0.12, 0.76)),
              polygon((-0.13, 0.42), (-0.1, 0.22), (0.0, 0.36)), polygon((0.13, 0.42),
                    (0.1, 0.22), (0.0, 0.36))),
    ]  # fmt: skip


def bird(random: Random) -> list[Layer]:
    return [
        layer("main", blob((-0.95, 0.4), (-0.45, 0.15), (-0.05, -0.1), (0.35, -0.3),
              (0.62, -0.34), (0.72, -0.1),
                           (0.45, 0.3), (0.05, 0.5), (-0.5, 0.5))),
        layer("second", blob((0.2, -0.05), (-0.1, -0.6), (-0.65, -1.0), (-0.6, -0.5),
              (-0.45, -0.1), (-0.15, 0.2)),),
        layer("light", blob((0.3, 0.05), (0.35, -0.5), (0.1, -1.0), (-0.05, -0.6), (-0.02, -0.1),
              (0.1, 0.15))),
        layer("dark", polygon((0.68, -0.28), (0.98, -0.18), (0.68, -0.12)), disc(0.52, -0.2, 0.05)),
    ]  # fmt: skip


def teddy(random: Random) -> list[Layer]:
    return [
        layer("main", mirrored(disc(0.45, -0.78, 0.22), disc(0.58, 0.2, 0.2, 0.28),
              disc(0.36, 0.82, 0.26, 0.22))),
        layer("main", disc(0, 0.35, 0.52, 0.55), disc(0, -0.42, 0.56, 0.5)),
        layer("second", mirrored(disc(0.45, -0.78, 0.11)), disc(0, 0.42, 0.32, 0.34)),
        layer("light", disc(0, -0.28, 0.26, 0.2)),
        layer("dark", mirrored(disc(0.22, -0.52, 0.065)), disc(0, -0.36, 0.1, 0.07),
              line(0.035, (0, -0.3), (0, -0.18))),
    ]  # fmt: skip


def kite(random: Random) -> list[Layer]:
    return [
        layer("dark", curve(0.045, (-0.1, 0.35), (0.1, 0.6), (-0.25, 0.8), (-0.1, 1.1))),
        layer("main", polygon((0.15, -1.0), (0.75, -0.45), (-0.1, 0.4), (-0.5, -0.4))),
        layer("second", polygon((0.15, -1.0), (0.75, -0.45), (0.1, -0.42))),
        layer("light", polygon((-0.1, 0.4), (-0.5, -0.4), (0.1, -0.42))),
        layer("second", polygon((0.02, 0.66), (0.24, 0.56), (0.22, 0.76)), polygon((-0.02, 0.66),
              (-0.2, 0.5), (-0.22, 0.7)),
              polygon((-0.2, 0.92), (0.02, 0.84), (0.0, 1.02)), polygon((-0.24, 0.9),
                    (-0.44, 0.78), (-0.44, 0.98))),
    ]  # fmt: skip


def train(random: Random) -> list[Layer]:
    return [
        layer("light", disc(0.55, -0.95, 0.2), disc(0.3, -1.05, 0.16), disc(0.08, -1.0, 0.12)),
        layer("main", rounded(-0.35, -0.25, 0.85, 0.4, 0.16), polygon((0.42, -0.22), (0.36, -0.7),
              (0.74, -0.7), (0.68, -0.22))),
        layer("second", box(-0.9, -0.65, -0.25, 0.42), rounded(-1.0, -0.8, -0.15, -0.62, 0.05),
              polygon((0.8, 0.4), (1.1, 0.72), (0.7, 0.72))),
        layer("light", rounded(-0.74, -0.48, -0.42, -0.1, 0.04), disc(0.85, 0.05, 0.09, 0.16)),
        layer("dark", rounded(-0.95, 0.36, 0.95, 0.5, 0.04), disc(-0.55, 0.62, 0.3),
              disc(0.1, 0.7, 0.22), disc(0.6, 0.7, 0.22)),
        layer("light", disc(-0.55, 0.62, 0.12), disc(0.1, 0.7, 0.09), disc(0.6, 0.7, 0.09)),
    ]  # fmt: skip


def cat(random: Random) -> list[Layer]:
    return [
        layer("main", mirrored(polygon((0.15, -0.55), (0.68, -0.95), (0.75, -0.2))),
              disc(0, 0.05, 0.8, 0.68)),
        layer("second", mirrored(polygon((0.35, -0.58), (0.6, -0.75), (0.64, -0.4))),
              mirrored(disc(0.22, 0.32, 0.22, 0.17))),
        layer("light", mirrored(disc(0.34, -0.05, 0.2, 0.22))),
        layer("dark", mirrored(disc(0.32, -0.05, 0.08, 0.18), line(0.035, (0.4, 0.28),
              (1.02, 0.16)), line(0.035, (0.4, 0.36), (1.0, 0.46))),
              polygon((-0.1, 0.16), (0.1, 0.16), (0, 0.28))),
    ]  # fmt: skip


def whale(random: Random) -> list[Layer]:
    return [
        layer("light", curve(0.07, (-0.35, -0.45), (-0.4, -0.75), (-0.7, -0.85)),
              curve(0.07, (-0.35, -0.45), (-0.28, -0.8), (0.02, -0.88))),
        layer("main", blob((-1.0, 0.2), (-0.85, -0.25), (-0.35, -0.42), (0.2, -0.25), (0.62, 0.0),
              (0.78, -0.3),
                           (0.6, -0.62), (0.9, -0.5), (1.15, -0.68), (1.0, -0.2), (0.85, 0.25),
                                 (0.4, 0.6), (-0.4, 0.68), (-0.9, 0.5))),
        layer("second", blob((-0.98, 0.25), (-0.5, 0.32), (0.1, 0.38), (0.45, 0.55), (0, 0.66),
              (-0.5, 0.66), (-0.88, 0.5))),
        layer("dark", disc(-0.55, 0.05, 0.08), blob((-0.15, 0.35), (0.15, 0.5), (0.2, 0.82),
              (-0.05, 0.7))),
    ]  # fmt: skip


def dinosaur(random: Random) -> list[Layer]:
    return [
        layer("main", blob((0.35, -0.95), (0.72, -0.9), (0.85, -0.65), (0.5, -0.58),
              (0.35, -0.35), (0.38, 0.1), (0.25, 0.5),
                           (-0.2, 0.6), (-0.6, 0.55), (-1.05, 0.85), (-0.8, 0.2), (-0.3, -0.05),
                                 (-0.02, -0.4), (0.1, -0.75)),
              line(0.2, (-0.25, 0.5), (-0.25, 0.92)), line(0.2, (0.12, 0.5), (0.12, 0.92)),
              line(0.1, (0.35, -0.05), (0.6, 0.0))),
        layer("second", [polygon((x - 0.1, y + 0.05), (x - 0.12, y - 0.22),
              (x + 0.12, y - 0.04)) for x, y in
                         ((0.05, -0.72), (-0.12, -0.38), (-0.38, -0.12), (-0.68, 0.1))]),
        layer("light", blob((0.3, 0.05), (0.22, 0.45), (0.0, 0.52), (0.1, 0.1)),
              disc(0.5, -0.8, 0.07)),
        layer("dark", disc(0.52, -0.8, 0.035)),
    ]  # fmt: skip


def pencil(random: Random) -> list[Layer]:
    turn = random.uniform(25, 45)
    layers = [
        layer("main", box(-0.2, -0.7, 0.2, 0.55)),
        layer("dark", box(-0.2, -0.74, 0.2, -0.62)),
        layer("second", rounded(-0.2, -1.0, 0.2, -0.7, 0.1), box(-0.06, -0.62, 0.06, 0.55)),
        layer("light", polygon((-0.2, 0.55), (0.2, 0.55), (0, 1.05))),
        layer("dark", polygon((-0.07, 0.88), (0.07, 0.88), (0, 1.05))),
    ]
    turned = [layer(one.role, [moved(s, 0, 0, 1, turn) for s in one.shapes]) for one in layers]
    return [layer("second", curve(0.07, (-0.65, 0.92), (-0.3, 1.0), (0.1, 0.85), (0.4, 1.0),
          (0.75, 0.85)),
                  star(-0.6, -0.45, 0.24, 0.1), star(0.62, 0.35, 0.2, 0.08)), *turned]  # fmt: skip


def duck(random: Random) -> list[Layer]:
    return [
        layer("main", disc(0.28, -0.45, 0.42), blob((-0.95, -0.1), (-0.6, 0.02), (0, 0.0),
              (0.55, 0.0), (0.8, 0.3), (0.55, 0.75),
                                                    (-0.4, 0.78), (-0.8, 0.45))),
        layer("second", blob((0.62, -0.5), (0.95, -0.46), (1.02, -0.3), (0.62, -0.26))),
        layer("light", blob((-0.5, 0.2), (-0.1, 0.12), (0.3, 0.3), (0.0, 0.52), (-0.4, 0.45)),
              disc(0.4, -0.56, 0.1)),
        layer("dark", disc(0.42, -0.56, 0.055), curve(0.07, (-1.1, 0.8), (-0.7, 0.72),
              (-0.35, 0.84), (0, 0.72), (0.35, 0.84), (0.7, 0.72), (1.1, 0.8))),
    ]  # fmt: skip
