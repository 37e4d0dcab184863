"""Motifs of space and magic, of comedy and music."""

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


def planet(random: Random) -> list[Layer]:
    turn = random.uniform(-35, 35)
    layers = [
        layer("second", arc(0, 0, (1.08, 0.34), (180, 360), 0.11)),
        layer("main", disc(0, 0, 0.68)),
        layer("dark", crescent(0, 0, 0.68, 40, 0.22)),
        layer("light", line(0.07, (-0.5, -0.25), (0.05, -0.25)), line(0.07, (-0.35, -0.42),
              (0.1, -0.42)), disc(-0.25, 0.42, 0.09, 0.06)),
        layer("second", arc(0, 0, (1.08, 0.34), (0, 180), 0.11)),
    ]  # fmt: skip
    return [layer(one.role, [moved(s, 0, 0, 1, turn) for s in one.shapes]) for one in layers]


def rocket(random: Random) -> list[Layer]:
    turn = random.uniform(8, 32)
    layers = [
        layer("light", blob((-0.2, 0.62), (-0.24, 0.9), (0, 1.3), (0.24, 0.9), (0.2, 0.62))),
        layer("second", blob((-0.1, 0.62), (0, 1.05), (0.1, 0.62)),
              mirrored(polygon((0.24, 0.1), (0.62, 0.55), (0.58, 0.9), (0.2, 0.62)))),
        layer("main", blob((0, -1.05), (0.26, -0.6), (0.36, -0.05), (0.28, 0.6), (0, 0.66),
              (-0.28, 0.6), (-0.36, -0.05), (-0.26, -0.6))),
        layer("dark", disc(0, -0.2, 0.22), rounded(-0.28, 0.5, 0.28, 0.64, 0.04)),
        layer("light", disc(0, -0.2, 0.14)),
    ]  # fmt: skip
    return [layer(one.role, [moved(s, 0, -0.05, 0.92, turn) for s in one.shapes]) for one in layers]


def robot(random: Random) -> list[Layer]:
    return [
        layer("dark", line(0.07, (0, -0.6), (0, -0.95)), mirrored(rounded(0.62, -0.3, 0.86, 0.25,
              0.08)), box(-0.22, 0.6, 0.22, 0.85)),
        layer("second", disc(0, -0.98, 0.13), rounded(-0.62, 0.78, 0.62, 1.1, 0.12)),
        layer("main", rounded(-0.7, -0.7, 0.7, 0.68, 0.2)),
        layer("light", mirrored(disc(0.3, -0.2, 0.22)), rounded(-0.42, 0.25, 0.42, 0.5, 0.06)),
        layer("dark", mirrored(disc(0.3, -0.2, 0.1)), [box(x - 0.02, 0.25, x + 0.02,
              0.5) for x in (-0.21, 0, 0.21)]),
    ]  # fmt: skip


def saucer(random: Random) -> list[Layer]:
    return [
        layer("light", polygon((-0.42, 0.1), (0.42, 0.1), (0.85, 1.1), (-0.85, 1.1))),
        layer("second", arc(0, -0.22, (0.46, 0.5), (180, 360))),
        layer("main", disc(0, -0.08, 1.05, 0.3)),
        layer("dark", arc(0, -0.06, (0.95, 0.3), (20, 160), 0.06)),
        layer("light", [disc(x, y, 0.085) for x, y in ((-0.7, -0.06), (-0.36, 0.03), (0, 0.06),
              (0.36, 0.03), (0.7, -0.06))],
              arc(-0.1, -0.25, (0.26, 0.32), (190, 260), 0.06)),
    ]  # fmt: skip


def atom(random: Random) -> list[Layer]:
    turn = random.uniform(0, 60)
    orbits = [
        moved(arc(0, 0, (1.0, 0.36), (0, 360), 0.08), 0, 0, 1, turn + a) for a in (0, 60, 120)
    ]
    angles = [math.radians(turn + a) for a in (0, 60, 120)]
    return [
        layer("second", orbits),
        layer("main", disc(0, 0, 0.26)),
        layer("light", [disc(math.cos(a), math.sin(a), 0.12) for a in angles], disc(-0.07, -0.08,
              0.07)),
    ]  # fmt: skip


def astronaut(random: Random) -> list[Layer]:
    return [
        layer("second", blob((-0.95, 1.1), (-0.8, 0.65), (-0.3, 0.5), (0.3, 0.5), (0.8, 0.65),
              (0.95, 1.1), (0, 1.15))),
        layer("main", disc(0, -0.15, 0.78), rounded(-0.5, 0.4, 0.5, 0.68, 0.1),
              mirrored(rounded(0.68, -0.38, 0.9, 0.1, 0.08))),
        layer("dark", rounded(-0.56, -0.55, 0.56, 0.25, 0.36)),
        layer("light", curve(0.09, (-0.36, -0.05), (-0.36, -0.26), (-0.16, -0.4)),
              disc(0.18, -0.02, 0.05), star(0.28, -0.3, 0.12, 0.04, 4)),
    ]  # fmt: skip


def castle(random: Random) -> list[Layer]:
    def crenels(x: float, y: float, wide: float) -> list[tuple[float, float]]:
        return [(x + wide * a, y - b) for a, b in ((0, 0), (0, 0.12), (0.2, 0.12), (0.2, 0),
              (0.4, 0), (0.4, 0.12),
                (0.6, 0.12), (0.6, 0), (0.8, 0), (0.8, 0.12), (1, 0.12), (1, 0))]  # fmt: skip

    return [
        layer("second", mirrored(polygon((0.5, 0.95), *crenels(0.46, -0.2, 0.48), (0.9, 0.95)),
              polygon((0.42, -0.3), (0.7, -0.85), (0.98, -0.3)))),
        layer("main", polygon((-0.5, 0.95), *crenels(-0.5, 0.15, 1.0), (0.5, 0.95)),
              box(-0.22, -0.55, 0.22, 0.3),
              polygon((-0.3, -0.5), (0, -1.05), (0.3, -0.5))),
        layer("dark", arc(0, 0.6, (0.2, 0.24), (180, 360)), box(-0.2, 0.58, 0.2, 0.95)),
        layer("light", rounded(-0.07, -0.35, 0.07, -0.08, 0.06),
              mirrored(rounded(0.63, 0.0, 0.77, 0.25, 0.06)),
              polygon((0, -1.05), (0.28, -1.16), (0, -1.27)), mirrored(box(0.28, 0.3, 0.38, 0.48))),
    ]  # fmt: skip


def sword(random: Random) -> list[Layer]:
    turn = random.uniform(-28, 28)
    layers = [
        layer(
            "main", polygon((-0.14, 0.4), (-0.14, -0.85), (0, -1.12), (0.14, -0.85), (0.14, 0.4))
        ),
        layer("light", polygon((0, 0.4), (0, -1.12), (0.14, -0.85), (0.14, 0.4))),
        layer("dark", rounded(-0.09, 0.45, 0.09, 0.92, 0.04)),
        layer(
            "second",
            curve(0.15, (-0.5, 0.3), (-0.25, 0.44), (0.25, 0.44), (0.5, 0.3)),
            disc(0, 0.98, 0.14),
        ),
    ]
    return [layer(one.role, [moved(s, 0, 0, 1, turn) for s in one.shapes]) for one in layers]


def wizard_hat(random: Random) -> list[Layer]:
    tip = random.uniform(0.1, 0.5)
    return [
        layer("main", blob((-0.5, 0.62), (-0.25, -0.2), (0.0, -0.75), (tip, -1.05), (0.16, -0.45),
              (0.35, 0.1), (0.52, 0.62), (0, 0.72))),
        layer("second", blob((-1.05, 0.75), (-0.5, 0.55), (0, 0.66), (0.5, 0.55), (1.05, 0.75),
              (0.5, 0.98), (0, 1.02), (-0.5, 0.98))),
        layer("dark", blob((-0.5, 0.5), (0, 0.6), (0.5, 0.5), (0.52, 0.68), (0, 0.8),
              (-0.52, 0.68))),
        layer("light", star(-0.12, 0.2, 0.17, 0.07), star(0.18, -0.12, 0.13, 0.055),
              star(-0.02, -0.45, 0.1, 0.04), star(0.85, -0.4, 0.2, 0.07, 4),
              star(-0.8, -0.1, 0.16, 0.06, 4)),
    ]  # fmt: skip


def crystal_ball(random: Random) -> list[Layer]:
    return [
        layer("dark", blob((-0.7, 1.0), (-0.45, 0.62), (0, 0.5), (0.45, 0.62), (0.7, 1.0),
              (0, 1.06))),
        layer("main", disc(0, -0.15, 0.78)),
        layer("second", curve(0.16, (-0.5, 0.1), (-0.2, -0.15), (0.12, 0.1), (0.45, -0.1)),
              curve(0.12, (-0.35, 0.36), (0, 0.25), (0.35, 0.4))),
        layer("light", star(0.2, -0.4, 0.2, 0.06, 4), star(-0.25, -0.3, 0.13, 0.04, 4),
              arc(0, -0.15, (0.64, 0.64), (180, 240), 0.07)),
    ]  # fmt: skip


def crown(random: Random) -> list[Layer]:
    return [
        layer("main", polygon((-0.8, 0.6), (-0.95, -0.45), (-0.45, 0.05), (0, -0.75),
              (0.45, 0.05), (0.95, -0.45), (0.8, 0.6))),
        layer("light", disc(-0.95, -0.52, 0.13), disc(0, -0.82, 0.14), disc(0.95, -0.52, 0.13)),
        layer("dark", rounded(-0.82, 0.45, 0.82, 0.75, 0.06)),
        layer("second", polygon((0, -0.1), (0.18, 0.14), (0, 0.38), (-0.18, 0.14)),
              mirrored(disc(0.5, 0.25, 0.11)), [disc(x, 0.6, 0.07) for x in (-0.5, 0, 0.5)]),
    ]  # fmt: skip


def disguise(random: Random) -> list[Layer]:
    return [
        layer("main", blob((-0.16, -0.15), (0, -0.2), (0.16, -0.15), (0.3, 0.3), (0.2, 0.48),
              (0, 0.42), (-0.2, 0.48), (-0.3, 0.3))),
        layer("dark", mirrored(blob((0.0, 0.45), (0.3, 0.42), (0.7, 0.72), (0.95, 0.68),
              (0.6, 0.95), (0.2, 0.88), (0, 0.7))),
              mirrored(curve(0.13, (0.2, -0.72), (0.5, -0.88), (0.85, -0.72)))),
        layer("light", mirrored(disc(0.48, -0.28, 0.36))),
        layer("second", mirrored(ring(0.48, -0.28, 0.42, 0.31), line(0.09, (0.88, -0.35),
              (1.1, -0.45))), line(0.09, (-0.1, -0.32), (0.1, -0.32))),
    ]  # fmt: skip


def comic_mask(random: Random) -> list[Layer]:
    return [
        layer("second", curve(0.1, (0.75, -0.4), (1.05, 0.1), (0.85, 0.6), (1.0, 1.0)),
              curve(0.1, (-0.75, -0.4), (-1.05, 0.1), (-0.85, 0.6), (-1.0, 1.0))),
        layer("main", blob((-0.8, -0.75), (0, -0.9), (0.8, -0.75), (0.82, 0.0), (0.5, 0.7),
              (0, 0.98), (-0.5, 0.7), (-0.82, 0.0))),
        layer("dark", mirrored(curve(0.12, (0.18, -0.25), (0.38, -0.45), (0.6, -0.25))),
              blob((-0.55, 0.15), (0, 0.32), (0.55, 0.15), (0.35, 0.58), (0, 0.72), (-0.35, 0.58))),
        layer("light", blob((-0.4, 0.24), (0, 0.36), (0.4, 0.24), (0.32, 0.38), (0, 0.48),
              (-0.32, 0.38)), mirrored(disc(0.55, 0.02, 0.1))),
    ]  # fmt: skip


def tragic_mask(random: Random) -> list[Layer]:
    return [
        layer("second", curve(0.1, (0.75, -0.4), (1.05, 0.1), (0.85, 0.6), (1.0, 1.0)),
              curve(0.1, (-0.75, -0.4), (-1.05, 0.1), (-0.85, 0.6), (-1.0, 1.0))),
        layer("main", blob((-0.75, -0.8), (0, -0.92), (0.75, -0.8), (0.8, 0.0), (0.55, 0.75),
              (0, 0.98), (-0.55, 0.75), (-0.8, 0.0))),
        layer("dark", mirrored(blob((0.15, -0.15), (0.35, -0.35), (0.62, -0.1), (0.4, 0.02)),
              line(0.08, (0.18, -0.42), (0.62, -0.32))),
              blob((-0.45, 0.7), (-0.3, 0.45), (0, 0.36), (0.3, 0.45), (0.45, 0.7), (0, 0.58))),
        layer("light", blob((0.42, 0.06), (0.5, 0.26), (0.42, 0.36), (0.34, 0.26))),
    ]  # fmt: skip


def bowler(random: Random) -> list[Layer]:
    return [
        layer("second", line(0.1, (0.78, 1.0), (0.78, -0.25)), arc(0.6, -0.25, (0.18, 0.2),
              (180, 360), 0.1)),
        layer("main", arc(-0.12, -0.35, (0.52, 0.6), (180, 360)), blob((-0.9, -0.4),
              (-0.12, -0.42), (0.66, -0.4), (0.5, -0.24), (-0.12, -0.2), (-0.74, -0.24))),
        layer("light", rounded(-0.64, -0.56, 0.4, -0.42, 0.03)),
        layer("dark", mirrored(blob((0.0, 0.22), (0.3, 0.1), (0.42, 0.34), (0.2, 0.34)))),
        layer("main", polygon((-0.62, 0.62), (-0.12, 0.8), (0.38, 0.62), (0.38, 1.02),
              (-0.12, 0.86), (-0.62, 1.02)), disc(-0.12, 0.82, 0.12)),
    ]  # fmt: skip


def party_hat(random: Random) -> list[Layer]:
    bits = [(-0.75, -0.55), (-0.45, -0.85), (0.6, -0.7), (0.82, -0.25), (-0.85, 0.0), (0.8, 0.25)]
    return [
        layer("main", polygon((0, -0.8), (0.62, 0.75), (0.3, 0.86), (0, 0.9), (-0.3, 0.86),
              (-0.62, 0.75))),
        layer("light", polygon((-0.16, -0.35), (0.24, -0.2), (0.34, 0.05), (-0.26, -0.12)),
              polygon((-0.36, 0.12), (0.44, 0.3), (0.53, 0.53), (-0.45, 0.33))),
        layer("second", star(0, -0.88, 0.28, 0.13, 9), curve(0.16, (-0.62, 0.78), (-0.3, 0.92),
              (0, 0.95), (0.3, 0.92), (0.62, 0.78))),
        layer("second", [disc(x, y, 0.075) for x, y in bits[::2]]),
        layer("dark", [moved(box(-0.08, -0.04, 0.08, 0.04), x, y, 1, 40 * k) for k, (x,
              y) in enumerate(bits[1::2])]),
    ]  # fmt: skip


def cocktail(random: Random) -> list[Layer]:
    return [
        layer("second", line(0.06, (0.15, -0.2), (0.62, -1.0)), arc(0.66, -0.72, (0.42, 0.3),
              (200, 380))),
        layer("light", polygon((-0.85, -0.6), (0.85, -0.6), (0.05, 0.3), (-0.05, 0.3)),
              box(-0.05, 0.2, 0.05, 0.9), rounded(-0.42, 0.85, 0.42, 0.98, 0.06)),
        layer("main", polygon((-0.66, -0.42), (0.66, -0.42), (0.0, 0.24))),
        layer("dark", disc(-0.16, -0.22, 0.15)),
        layer("second", disc(-0.12, -0.24, 0.05)),
    ]  # fmt: skip


def note(random: Random) -> list[Layer]:
    return [
        layer("main", moved(disc(0, 0, 0.3, 0.22), -0.55, 0.65, 1, -20),
              moved(disc(0, 0, 0.3, 0.22), 0.52, 0.48, 1, -20),
              box(-0.4, -0.72, -0.27, 0.65), box(0.67, -0.9, 0.8, 0.48), polygon((-0.4, -0.78),
                    (0.8, -1.0), (0.8, -0.66), (-0.4, -0.44))),
        layer("second", polygon((-0.27, -0.28), (0.67, -0.46), (0.67, -0.3), (-0.27, -0.12))),
        layer("light", disc(-0.62, 0.6, 0.08, 0.05), disc(0.45, 0.43, 0.08, 0.05),
              star(0.15, 0.1, 0.16, 0.06, 4), star(-0.85, -0.3, 0.14, 0.05, 4)),
    ]  # fmt: skip


def gramophone(random: Random) -> list[Layer]:
    return [
        layer("second", curve(0.11, (0.45, 0.4), (0.5, 0.05), (0.2, -0.05))),
        layer("main", blob((0.3, 0.05), (0.1, -0.15), (-0.2, -0.9), (-0.6, -0.8), (-0.95, -0.3),
              (-0.75, 0.05), (-0.1, 0.0))),
        layer("light", moved(disc(0, 0, 0.2, 0.52), -0.58, -0.42, 1, 38)),
        layer("dark", disc(-0.02, 0.42, 0.55, 0.09), moved(disc(0, 0, 0.09, 0.28),
              -0.56, -0.4, 1, 38)),
        layer("main", polygon((-0.62, 0.5), (0.62, 0.5), (0.75, 0.95), (-0.75, 0.95))),
        layer("second", rounded(-0.4, 0.62, 0.4, 0.8, 0.04)),
    ]  # fmt: skip


def microphone(random: Random) -> list[Layer]:
    return [
        layer("dark", line(0.1, (0, 0.4), (0, 1.0)), arc(0, -0.05, (0.52, 0.55), (0, 180), 0.1),
              rounded(-0.4, 0.9, 0.4, 1.05, 0.05)),
        layer("main", rounded(-0.36, -1.0, 0.36, 0.3, 0.36)),
        layer("light", [line(0.055, (-0.2, y), (0.2, y)) for y in (-0.75, -0.57, -0.39)],
              line(0.055, (0, -0.86), (0, -0.3))),
        layer("second", rounded(-0.42, -0.24, 0.42, -0.06, 0.05)),
    ]  # fmt: skip


def guitar(random: Random) -> list[Layer]:
    turn = random.uniform(18, 35)
    layers = [
        layer("dark", box(-0.07, -1.0, 0.07, 0.1), polygon((-0.14, -1.0), (0.14, -1.0),
              (0.1, -1.25), (-0.1, -1.25))),
        layer("main", disc(0, 0.1, 0.38, 0.36), disc(0, 0.62, 0.54, 0.46)),
        layer("light", disc(0, 0.2, 0.17)),
        layer("second", rounded(-0.22, 0.7, 0.22, 0.8, 0.03), [line(0.02, (x, -1.0),
              (x, 0.75)) for x in (-0.04, 0.04)]),
    ]  # fmt: skip
    return [layer(one.role, [moved(s, 0, -0.02, 0.92, turn) for s in one.shapes]) for one in layers]


def record(random: Random) -> list[Layer]:
    start = random.uniform(0, 90)
    return [
        layer("dark", disc(0, 0, 1.0)),
        layer("second", [arc(0, 0, (r, r), (start, start + 70), 0.04) for r in (0.55, 0.68, 0.81)],
              [arc(0, 0, (r, r), (start + 180, start + 250), 0.04) for r in (0.55, 0.68, 0.81)]),
        layer("main", disc(0, 0, 0.4)),
        layer("light", disc(0, 0, 0.08), arc(0, 0, (0.26, 0.26), (200, 340), 0.06)),
    ]  # fmt: skip


def piano(random: Random) -> list[Layer]:
    return [
        layer("dark", rounded(-1.02, -0.7, 1.02, 0.7, 0.05)),
        layer("light", [rounded(-0.94 + 0.27 * k, -0.6, -0.7 + 0.27 * k, 0.6,
              0.03) for k in range(7)]),
        layer("main", [box(-0.78 + 0.27 * k, -0.6, -0.6 + 0.27 * k, 0.1) for k in (0, 1, 3, 4, 5)]),
        layer("second", rounded(-0.13, -0.6, 0.11, 0.6, 0.03)),
    ]  # fmt: skip
