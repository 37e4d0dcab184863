"""Motifs of fear and of crime: horror, film noir, crime, mystery and thriller."""

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


def haunted_house(random: Random) -> list[Layer]:
    return [
        layer("main", polygon((-0.62, 0.95), (-0.62, -0.1), (0.5, -0.1), (0.5, 0.95)),
              polygon((-0.75, -0.05), (-0.1, -0.6), (0.62, -0.05))),
        layer("second", box(0.18, -0.55, 0.62, 0.95), polygon((0.08, -0.5), (0.4, -1.1),
              (0.72, -0.5))),
        layer("dark", arc(-0.2, 0.62, (0.16, 0.2), (180, 360)), box(-0.36, 0.6, -0.04, 0.95),
              line(0.05, (-0.5, -0.3), (-0.5, -0.62)), box(-0.58, -0.62, -0.42, -0.2)),
        layer("light", box(-0.48, 0.1, -0.28, 0.36), box(-0.1, 0.1, 0.08, 0.36),
              box(0.31, -0.36, 0.49, -0.08), box(0.31, 0.3, 0.49, 0.58), disc(-0.1, -0.28, 0.09)),
    ]  # fmt: skip


def skull(random: Random) -> list[Layer]:
    return [
        layer("main", blob((0, -0.95), (0.6, -0.75), (0.8, -0.2), (0.6, 0.3), (0.42, 0.45),
                           (0.4, 0.8), (0, 0.9), (-0.4, 0.8), (-0.42, 0.45), (-0.6, 0.3),
                           (-0.8, -0.2), (-0.6, -0.75))),
        layer("light", crescent(-0.05, -0.2, 0.68, 215, 0.12)),
        layer("dark", mirrored(disc(-0.34, -0.08, 0.23, 0.26)), polygon((0, 0.14), (0.12, 0.4),
              (-0.12, 0.4)),
              [line(0.045, (x, 0.58), (x, 0.85)) for x in (-0.26, -0.09, 0.09, 0.26)]),
        layer("second", mirrored(disc(-0.34, -0.04, 0.08))),
    ]  # fmt: skip


def ghost(random: Random) -> list[Layer]:
    sway = random.uniform(-0.1, 0.1)
    return [
        layer("main", blob((sway, -0.95), (0.45, -0.75), (0.62, -0.2), (0.68, 0.5), (0.75, 0.95),
                           (0.42, 0.72), (0.2, 0.98), (0, 0.74), (-0.22, 0.98), (-0.42, 0.72),
                           (-0.75, 0.95), (-0.68, 0.5), (-0.62, -0.2), (-0.45, -0.75))),
        layer("second", line(0.2, (-0.6, 0.02), (-0.9, -0.2)), line(0.2, (0.6, 0.02), (0.9, -0.2))),
        layer("dark", mirrored(disc(-0.22, -0.32, 0.12, 0.18)), disc(0, 0.1, 0.15, 0.22)),
        layer("light", mirrored(disc(-0.19, -0.38, 0.04))),
    ]  # fmt: skip


def grave_hand(random: Random) -> list[Layer]:
    fingers = ((-0.36, -0.5, -18), (-0.13, -0.72, -6), (0.12, -0.7, 5), (0.34, -0.45, 18))
    return [
        layer("main", line(0.42, (0, 1.0), (0, 0.25)),
              blob((-0.42, 0.3), (-0.44, -0.1), (0, -0.2), (0.42, -0.1), (0.42, 0.25), (0, 0.5)),
              [line(0.17, (0.8 * x, -0.05), (x * 1.15, y)) for x, y, _ in fingers],
              line(0.18, (-0.32, 0.2), (-0.72, -0.08))),
        layer("light", [disc(x * 1.15, y - 0.01, 0.05) for x, y, _ in fingers]),
        layer("dark", blob((-1.0, 1.0), (-0.5, 0.72), (0, 0.84), (0.5, 0.7), (1.0, 1.0),
              (0, 1.12))),
        layer("second", line(0.05, (-0.2, 0.15), (0.2, 0.1)), line(0.05, (-0.16, 0.0),
              (0.18, -0.04))),
    ]  # fmt: skip


def bat(random: Random) -> list[Layer]:
    wing = blob((0.1, -0.15), (0.5, -0.5), (1.15, -0.45), (1.0, 0.0), (0.95, 0.3), (0.72, 0.14),
                (0.55, 0.42), (0.35, 0.2), (0.12, 0.4))  # fmt: skip
    return [
        layer("main", mirrored(wing), blob((0, -0.35), (0.22, -0.1), (0.15, 0.35), (0, 0.6),
                                           (-0.15, 0.35), (-0.22, -0.1))),
        layer("main", mirrored(polygon((0.03, -0.3), (0.22, -0.62), (0.22, -0.12)))),
        layer("second", mirrored(line(0.035, (0.3, -0.1), (0.92, -0.36)),
                                 line(0.035, (0.3, 0.0), (0.72, 0.1)))),
        layer("light", mirrored(disc(0.09, -0.16, 0.055))),
    ]  # fmt: skip


def pumpkin(random: Random) -> list[Layer]:
    return [
        layer("second", curve(0.14, (0, -0.55), (0.03, -0.8), (0.2, -0.95))),
        layer("main", disc(-0.45, 0.15, 0.48, 0.62), disc(0.45, 0.15, 0.48, 0.62),
              disc(0, 0.12, 0.5, 0.7)),
        layer("dark", mirrored(curve(0.04, (0.22, -0.48), (0.42, 0.1), (0.22, 0.75)))),
        layer("light", mirrored(polygon((0.15, 0.05), (0.5, 0.0), (0.34, -0.3))),
              polygon((0, 0.1), (0.09, 0.24), (-0.09, 0.24)),
              polygon((-0.62, 0.28), (-0.3, 0.42), (-0.16, 0.34), (0, 0.44), (0.16, 0.34),
                      (0.3, 0.42), (0.62, 0.28), (0.4, 0.6), (0.15, 0.52), (0, 0.66), (-0.15, 0.52),
                      (-0.4, 0.6))),
    ]  # fmt: skip


def spider(random: Random) -> list[Layer]:
    legs = [curve(0.06, (0.15, y), (0.55, y + a), (0.9, y + b)) for y, a, b in
            ((0.05, -0.45, -0.2), (0.15, -0.2, 0.15), (0.25, 0.05, 0.5),
                  (0.32, 0.3, 0.8))]  # fmt: skip
    return [
        layer("second", line(0.035, (0, -1.2), (0, 0))),
        layer("main", mirrored(*legs), disc(0, 0.05, 0.26), disc(0, 0.5, 0.38, 0.45)),
        layer("light", polygon((-0.12, 0.35), (0.12, 0.35), (-0.1, 0.68), (0.1, 0.68))),
        layer("light", mirrored(disc(-0.09, 0.02, 0.06))),
    ]


def street_lamp(random: Random) -> list[Layer]:
    return [
        layer("light", polygon((-0.34, -0.55), (0.1, -0.55), (0.85, 0.95), (-1.0, 0.95))),
        layer("dark", line(0.08, (0.62, 0.95), (0.62, -0.8)),
              curve(0.07, (0.62, -0.75), (0.4, -1.0), (-0.1, -0.95), (-0.12, -0.8))),
        layer("main", polygon((-0.4, -0.55), (-0.22, -0.82), (-0.02, -0.82), (0.16, -0.55))),
        layer("dark", polygon((-0.4, 1.0), (-0.36, 0.38), (-0.24, 0.28), (0.0, 0.28), (0.1, 0.38),
              (0.14, 1.0), (-0.1, 1.0), (-0.13, 0.8), (-0.17, 1.0)),
              disc(-0.12, 0.14, 0.13), rounded(-0.34, 0.02, 0.1, 0.09, 0.03),
                    rounded(-0.23, -0.14, -0.01, 0.06, 0.04)),
        layer("second", disc(-0.12, -0.52, 0.14, 0.08)),
    ]  # fmt: skip


def cigarette(random: Random) -> list[Layer]:
    bend = random.uniform(-0.15, 0.15)
    return [
        layer("second", curve(0.09, (0.62, 0.12), (0.8, -0.15), (0.45 + bend, -0.4), (0.72, -0.7),
              (0.5, -1.0)),
              curve(0.06, (0.55, 0.1), (0.45, -0.2), (0.25, -0.45), (0.4, -0.75))),
        layer("main", moved(box(-0.95, -0.13, 0.5, 0.13), 0, 0.4, 1, -18)),
        layer("dark", moved(box(-0.95, -0.13, -0.5, 0.13), 0, 0.4, 1, -18)),
        layer("light", moved(rounded(0.46, -0.13, 0.68, 0.13, 0.06), 0, 0.4, 1, -18)),
    ]  # fmt: skip


def detective(random: Random) -> list[Layer]:
    return [
        layer("main", blob((-0.9, 1.1), (-0.75, 0.6), (-0.3, 0.35), (0.3, 0.35), (0.75, 0.6),
                           (0.9, 1.1), (0, 1.15)), rounded(-0.3, -0.35, 0.3, 0.45, 0.24)),
        layer("second", mirrored(polygon((0.02, 0.75), (0.16, 0.2), (0.45, 0.35), (0.3, 0.7)))),
        layer("light", polygon((-0.1, 0.42), (0.1, 0.42), (0, 1.0))),
        layer("main", blob((-0.42, -0.42), (-0.38, -0.85), (-0.12, -0.98), (0, -0.9), (0.14, -0.98),
                           (0.38, -0.85), (0.42, -0.42))),
        layer("dark", rounded(-0.42, -0.58, 0.42, -0.42, 0.04),
              blob((-0.72, -0.38), (0, -0.52), (0.72, -0.38), (0.3, -0.2), (0, -0.24),
                    (-0.3, -0.2))),
    ]  # fmt: skip


def telephone(random: Random) -> list[Layer]:
    holes = [(0.3 * math.cos(a), 0.3 + 0.3 * math.sin(a)) for a in
             [math.pi * (0.9 + 0.2 * k) for k in range(8)]]  # fmt: skip
    return [
        layer("main", polygon((-0.45, -0.3), (0.45, -0.3), (0.85, 0.85), (-0.85, 0.85))),
        layer("second", curve(0.24, (-0.85, -0.42), (-0.6, -0.68), (0, -0.76), (0.6, -0.68),
              (0.85, -0.42)),
              mirrored(rounded(-1.02, -0.58, -0.56, -0.28, 0.1))),
        layer("light", disc(0, 0.3, 0.44)),
        layer("dark", [disc(x, y, 0.07) for x, y in holes], disc(0, 0.3, 0.13)),
    ]  # fmt: skip


def stairs(random: Random) -> list[Layer]:
    steps = [(-0.9 + 0.3 * k, 0.9 - 0.3 * k) for k in range(6)]
    return [
        layer("main", polygon(*[(-0.9, 0.95), *[p for x, y in steps for p in ((x, y),
              (x + 0.3, y))],
                                (0.9, 0.95)])),
        layer("dark", [box(x, y, x + 0.3, y + 0.07) for x, y in steps]),
        layer("second", line(0.06, (-0.9, 0.3), (0.75, -1.1)),
              [line(0.04, (x + 0.15, y), (x + 0.15, y - 0.5)) for x, y in steps]),
        layer("light", disc(0.05, -0.36, 0.12), blob((0.05, -0.3), (0.2, -0.05), (0.15, 0.02),
                                                     (-0.05, 0.02), (-0.1, -0.05))),
    ]  # fmt: skip


def handcuffs(random: Random) -> list[Layer]:
    return [
        layer("second", [ring(0.2 * k, -0.1 + 0.12 * (k % 2), 0.15, 0.08) for k in (-1, 0, 1)]),
        layer("main", mirrored(ring(-0.58, 0.25, 0.46, 0.3))),
        layer("dark", mirrored(rounded(-0.52, -0.3, -0.2, 0.0, 0.06))),
        layer("light", mirrored(disc(-0.36, -0.15, 0.06), arc(-0.58, 0.25, (0.38, 0.38),
              (110, 220), 0.045))),
    ]  # fmt: skip


def fingerprint(random: Random) -> list[Layer]:
    phase = random.uniform(-15, 15)
    lines = []
    for k in range(1, 7):
        ends = (150 + 12 * (k % 3) + phase, 390 - 10 * (k % 2) + phase)
        lines.append(arc(0, 0.1, (0.13 * k, 0.17 * k), ends, 0.075))
    return [
        layer("light", disc(0, 0, 0.98, 1.15)),
        layer("main", lines[::2]),
        layer("second", lines[1::2]),
        layer(
            "main",
            line(0.075, (0, 0.05), (0.05, 0.85)),
            curve(0.07, (-0.26, 0.3), (-0.2, 0.7), (-0.3, 0.95)),
            curve(0.07, (0.4, 0.3), (0.42, 0.6), (0.34, 0.9)),
        ),
    ]


def ace(random: Random) -> list[Layer]:
    heart = [
        disc(-0.16, -0.02, 0.2),
        disc(0.16, -0.02, 0.2),
        polygon((-0.35, 0.04), (0.35, 0.04), (0, 0.42)),
    ]
    spade = [moved(one, 0, 0.1, -1.0) for one in heart]
    spade = [*spade, polygon((0, 0.05), (0.16, 0.45), (-0.16, 0.45))]
    pip = spade if random.random() < 0.5 else [moved(one, 0, -0.06) for one in heart]
    corner = [moved(one, -0.38, -0.62, 0.3) for one in pip] + [
        moved(one, 0.38, 0.62, -0.3) for one in pip
    ]
    return [
        layer("second", moved(rounded(-0.62, -0.9, 0.62, 0.9, 0.12), 0.2, 0.05, 0.95, 16)),
        layer("light", moved(rounded(-0.62, -0.9, 0.62, 0.9, 0.12), 0, 0, 1, -8)),
        layer("main", [moved(one, 0, 0, 1.15, -8) for one in pip]),
        layer("dark", [moved(one, 0, 0, 1, -8) for one in corner]),
    ]  # fmt: skip


def burglar(random: Random) -> list[Layer]:
    return [
        layer("second", disc(0, 0.1, 0.72, 0.8)),
        layer("main", blob((-0.74, -0.1), (-0.6, -0.75), (0, -1.0), (0.6, -0.75), (0.74, -0.1),
              (0, -0.22))),
        layer("dark", blob((-0.85, -0.12), (-0.3, -0.2), (0, -0.14), (0.3, -0.2), (0.85, -0.12),
                           (0.6, 0.2), (0.22, 0.22), (0, 0.12), (-0.22, 0.22), (-0.6, 0.2))),
        layer("light", mirrored(disc(-0.32, 0.02, 0.15, 0.11))),
        layer("dark", mirrored(disc(-0.3, 0.02, 0.06)), curve(0.06, (-0.25, 0.5), (0, 0.56),
              (0.3, 0.42))),
    ]  # fmt: skip


def money_bag(random: Random) -> list[Layer]:
    return [
        layer("main", blob((-0.2, -0.45), (-0.62, 0.0), (-0.8, 0.5), (-0.6, 0.88), (0, 0.95),
                           (0.6, 0.88), (0.8, 0.5), (0.62, 0.0), (0.2, -0.45)),
              blob((-0.2, -0.5), (-0.4, -0.9), (-0.12, -0.8), (0.05, -0.95), (0.16, -0.8),
                    (0.42, -0.88), (0.2, -0.5))),
        layer("dark", rounded(-0.28, -0.56, 0.28, -0.38, 0.08)),
        layer("light", curve(0.1, (0.24, 0.12), (0, 0.0), (-0.22, 0.14), (0, 0.34), (0.22, 0.52),
                             (0, 0.68), (-0.24, 0.56)), line(0.08, (0, -0.1), (0, 0.78))),
    ]  # fmt: skip


def magnifier(random: Random) -> list[Layer]:
    return [
        layer("dark", line(0.24, (0.4, 0.4), (0.92, 0.92))),
        layer("main", ring(-0.15, -0.15, 0.78, 0.6)),
        layer("light", disc(-0.15, -0.15, 0.6)),
        layer("second", blob((-0.6, -0.15), (-0.15, -0.45), (0.3, -0.15), (-0.15, 0.12))),
        layer("dark", disc(-0.15, -0.16, 0.16)),
    ]


def key(random: Random) -> list[Layer]:
    turn = random.uniform(-40, 40)
    layers = [
        layer("main", ring(0, -0.6, 0.42, 0.2), box(-0.09, -0.25, 0.09, 0.95)),
        layer("main", box(0.05, 0.5, 0.42, 0.64), box(0.05, 0.78, 0.34, 0.92)),
        layer(
            "second", rounded(-0.2, -0.24, 0.2, -0.1, 0.05), rounded(-0.16, 0.2, 0.16, 0.32, 0.05)
        ),
        layer("light", arc(0, -0.6, (0.31, 0.31), (160, 280), 0.06)),
    ]
    return [layer(one.role, [moved(s, 0, 0, 1, turn) for s in one.shapes]) for one in layers]


def keyhole(random: Random) -> list[Layer]:
    return [
        layer("main", rounded(-0.62, -1.0, 0.62, 1.0, 0.3)),
        layer("second", rounded(-0.5, -0.88, 0.5, 0.88, 0.22)),
        layer(
            "dark",
            disc(0, -0.22, 0.3),
            polygon((-0.13, -0.1), (0.13, -0.1), (0.3, 0.6), (-0.3, 0.6)),
        ),
        layer("light", blob((-0.2, -0.22), (0, -0.34), (0.2, -0.22), (0, -0.1))),
        layer("dark", disc(0, -0.22, 0.075)),
    ]


def eye(random: Random) -> list[Layer]:
    rays = [-150, -120, -90, -60, -30]
    return [
        layer("second", [line(0.08, (0.75 * math.cos(math.radians(a)),
              0.62 * math.sin(math.radians(a))),
                              (1.0 * math.cos(math.radians(a)),
                                    0.92 * math.sin(math.radians(a)))) for a in rays]),
        layer("light", blob((-1.0, 0.05), (-0.5, -0.4), (0, -0.52), (0.5, -0.4), (1.0, 0.05),
              (0.5, 0.45),
                            (0, 0.55), (-0.5, 0.45))),
        layer("main", disc(0, 0.02, 0.46)),
        layer("dark", disc(0, 0.02, 0.23)),
        layer("light", disc(0.16, -0.15, 0.1)),
    ]  # fmt: skip


def crosshair(random: Random) -> list[Layer]:
    return [
        layer("main", ring(0, 0, 0.92, 0.78), ring(0, 0, 0.5, 0.41)),
        layer("second", blob((-0.34, 0.36), (-0.26, 0.06), (0, 0.0), (0.26, 0.06), (0.34, 0.36),
              (0, 0.4)),
              disc(0, -0.16, 0.19)),
        layer("dark", [box(-0.03 if a else 0.3 * b, -0.03 if b else 0.3 * a,
              0.03 if a else 1.15 * b,
                           0.03 if b else 1.15 * a) for a, b in ((1, 0), (-1, 0), (0, 1),
                                 (0, -1))]),
        layer("light", disc(0, -0.05, 0.075)),
    ]  # fmt: skip


def knife(random: Random) -> list[Layer]:
    turn = random.uniform(-35, -15)
    layers = [
        layer("main", polygon((-0.16, 0.25), (-0.16, -0.75), (0.18, -1.15), (0.18, 0.25))),
        layer("light", polygon((0.02, 0.25), (0.02, -0.8), (0.18, -1.0), (0.18, 0.25))),
        layer("dark", rounded(-0.2, 0.32, 0.2, 1.05, 0.12)),
        layer(
            "second",
            rounded(-0.36, 0.2, 0.36, 0.36, 0.06),
            [disc(0, y, 0.055) for y in (0.52, 0.72, 0.9)],
        ),
    ]
    moved_layers = [
        layer(one.role, [moved(s, 0, 0, 0.95, turn) for s in one.shapes]) for one in layers
    ]
    drop = layer("second", blob((0.62, 0.3), (0.76, 0.58), (0.62, 0.72), (0.48, 0.58)))
    return [*moved_layers, drop]


def spiral(random: Random) -> list[Layer]:
    start = random.uniform(0, 6.28)
    turns = [(0.085 * a * math.cos(a + start), 0.085 * a * math.sin(a + start))
             for a in [0.5 * k for k in range(1, 24)]]  # fmt: skip
    return [
        layer("second", disc(0, 0, 1.05)),
        layer("main", curve(0.16, *turns)),
        layer("light", disc(0.1, -0.25, 0.11), blob((0.1, -0.12), (0.24, 0.05), (0.2, 0.4),
              (0.3, 0.62),
              (0.12, 0.5), (0.0, 0.68), (0.02, 0.3), (-0.08, 0.1))),
    ]  # fmt: skip


def clock(random: Random) -> list[Layer]:
    hour, minute = random.uniform(0, 2 * math.pi), random.uniform(0, 2 * math.pi)
    ticks = [math.pi * k / 6 for k in range(12)]
    return [
        layer("main", disc(0, 0, 0.92)),
        layer("light", disc(0, 0, 0.76)),
        layer("second", [disc(0.62 * math.cos(a), 0.62 * math.sin(a), 0.06) for a in ticks]),
        layer("dark", line(0.11, (0, 0), (0.36 * math.cos(hour), 0.36 * math.sin(hour))),
              line(0.08, (0, 0), (0.58 * math.cos(minute), 0.58 * math.sin(minute))),
                    disc(0, 0, 0.09)),
    ]  # fmt: skip


def matches(random: Random) -> list[Layer]:
    sticks = [(-0.6, 8), (-0.3, 4), (0.0, 0), (0.3, -4), (0.6, -8)]
    lit = int(random.integers(5))
    return [
        layer("light", [line(0.11, (x, 0.95), (x * 0.95, -0.3)) for x, _ in sticks]),
        layer("main", [disc(x * 0.95, -0.36, 0.13, 0.17) for x, _ in sticks]),
        layer("second", moved(blob((0, -0.55), (0.2, -0.05), (0.14, 0.2), (0, 0.26), (-0.14, 0.2),
              (-0.2, -0.05)),
                              sticks[lit][0] * 0.95, -0.52, 1.1)),
        layer("dark", rounded(-0.85, 0.55, 0.85, 1.0, 0.05)),
        layer("second", star(0, 0.78, 0.16, 0.07, 5)),
    ]  # fmt: skip
