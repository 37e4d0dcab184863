"""Outlines that made posters are composed of, as arrays of points.

A motif is drawn in a box of -1..1 in x (rightwards) and y (downwards); scenery in units of the
poster's width. Shapes have no colours: a layer only names the role of its shapes, and a style
decides what that role looks like.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Layer",
    "Points",
    "Random",
    "Role",
    "Shape",
    "arc",
    "blob",
    "box",
    "crescent",
    "curve",
    "disc",
    "flipped",
    "layer",
    "line",
    "mirrored",
    "moved",
    "placed",
    "polygon",
    "ring",
    "rounded",
    "star",
]

Points = NDArray[np.float64]
"""`[n, 2]`, x and y."""

Random = np.random.Generator

Role = Literal["sky", "far", "near", "main", "second", "light", "dark"]
"""`sky`, `far` and `near` are scenery; `main`, `second`, `light` and `dark` parts of a motif."""

_STEP = math.pi / 32


@dataclass(frozen=True)
class Shape:
    """A filled outline, or a thick line.

    Attributes:
        points: The closed outline, or the points of the line.
        hole: A closed outline inside that is left out.
        width: Thickness of the line; zero for a filled outline.
    """

    points: Points
    hole: Points | None = None
    width: float = 0.0

    def transformed(self, matrix: Points, shift: Points) -> Shape:
        """The shape with every point mapped to `matrix @ point + shift`."""
        scale = math.sqrt(abs(float(np.linalg.det(matrix))))
        hole = None if self.hole is None else self.hole @ matrix.T + shift
        return Shape(self.points @ matrix.T + shift, hole, self.width * scale)


@dataclass(frozen=True)
class Layer:
    """Shapes that are seen as one: they share a role, and a style outlines their union."""

    role: Role
    shapes: tuple[Shape, ...]


def layer(role: Role, *shapes: Shape | Iterable[Shape]) -> Layer:
    """Makes a layer of shapes and of groups of shapes."""
    flat: list[Shape] = []
    for one in shapes:
        flat.extend([one] if isinstance(one, Shape) else one)
    return Layer(role, tuple(flat))


def polygon(*points: tuple[float, float]) -> Shape:
    """A polygon with straight sides."""
    return Shape(np.array(points, dtype=np.float64))


def box(left: float, top: float, right: float, bottom: float) -> Shape:
    """A rectangle."""
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def rounded(left: float, top: float, right: float, bottom: float, radius: float) -> Shape:
    """A rectangle with round corners."""
    corners = (
        (right - radius, top + radius, -0.5),
        (right - radius, bottom - radius, 0.0),
        (left + radius, bottom - radius, 0.5),
        (left + radius, top + radius, 1.0),
    )
    return Shape(
        np.concatenate(
            [_turn(x, y, radius, radius, t * math.pi, (t + 0.5) * math.pi) for x, y, t in corners]
        )
    )


def disc(x: float, y: float, radius: float, height: float | None = None) -> Shape:
    """A disc, or an ellipse of half-width `radius` and half-height `height`."""
    return Shape(_turn(x, y, radius, radius if height is None else height, 0, 2 * math.pi))


def ring(x: float, y: float, radius: float, inner: float) -> Shape:
    """A disc with a round hole."""
    return Shape(disc(x, y, radius).points, disc(x, y, inner).points)


def arc(
    x: float,
    y: float,
    size: tuple[float, float],
    angles: tuple[float, float],
    width: float = 0.0,
) -> Shape:
    """A part of an ellipse, in degrees clockwise from the right; filled if `width` is zero."""
    first, last = (math.radians(angle) for angle in angles)
    return Shape(_turn(x, y, *size, first, last), None, width)


def crescent(x: float, y: float, radius: float, angle: float, depth: float) -> Shape:
    """The part of a disc towards `angle` (degrees), `depth` (0..1 of the diameter) wide."""
    middle, inner = math.radians(angle), radius * (1 - 2 * depth)
    edge = _turn(0, 0, radius, radius, -math.pi / 2, math.pi / 2)
    back = _turn(0, 0, inner, radius, math.pi / 2, -math.pi / 2)
    points = np.concatenate([edge, back]) @ _rotation(middle).T
    return Shape(points + np.array([x, y]))


def star(
    x: float, y: float, radius: float, inner: float, points: int = 5, turn: float = 0.0
) -> Shape:
    """A star with a tip upwards, turned by `turn` degrees."""
    count = 2 * points
    angles = np.arange(count) * 2 * np.pi / count - np.pi / 2 + math.radians(turn)
    radii = np.where(np.arange(count) % 2, inner, radius)
    return Shape(np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1))


def line(width: float, *points: tuple[float, float]) -> Shape:
    """A thick line with round ends through points."""
    return Shape(np.array(points, dtype=np.float64), None, width)


def curve(width: float, *points: tuple[float, float]) -> Shape:
    """A thick smooth line through points."""
    given = np.array(points, dtype=np.float64)
    ends = np.concatenate([given[:1], given, given[-1:]])
    return Shape(_smooth(ends), None, width)


def blob(*points: tuple[float, float]) -> Shape:
    """A closed smooth outline through points."""
    given = np.array(points, dtype=np.float64)
    return Shape(_smooth(np.concatenate([given[-1:], given, given[:2]])))


def mirrored(*shapes: Shape) -> list[Shape]:
    """The shapes and their mirror images on the other side of x = 0."""
    return [*shapes, *(shape.transformed(np.diag([-1.0, 1.0]), np.zeros(2)) for shape in shapes)]


def moved(shape: Shape, x: float, y: float, scale: float = 1.0, turn: float = 0.0) -> Shape:
    """The shape scaled, turned by `turn` degrees clockwise and then moved."""
    return shape.transformed(scale * _rotation(math.radians(turn)), np.array([x, y]))


def placed(
    layers: Sequence[Layer], x: float, y: float, scale: float, turn: float = 0.0
) -> list[Layer]:
    """All shapes of the layers, as `moved` does it."""
    return [
        replace(one, shapes=tuple(moved(shape, x, y, scale, turn) for shape in one.shapes))
        for one in layers
    ]


def flipped(layers: Sequence[Layer], around: float = 0.0) -> list[Layer]:
    """The mirror image of the layers at the vertical line x = `around`."""
    matrix, shift = np.diag([-1.0, 1.0]), np.array([2 * around, 0.0])
    return [
        replace(one, shapes=tuple(shape.transformed(matrix, shift) for shape in one.shapes))
        for one in layers
    ]


def _turn(x: float, y: float, width: float, height: float, first: float, last: float) -> Points:
    steps = max(3, round(abs(last - first) / _STEP))
    angles = np.linspace(first, last, steps + 1)
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)


def _rotation(angle: float) -> Points:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _smooth(points: Points, steps: int = 10) -> Points:
    """Catmull-Rom spline through all points but the first and last."""
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(points, points[1:], points[2:], points[3:], strict=False):
        cubic = -a + 3 * b - 3 * c + d
        square = 2 * a - 5 * b + 4 * c - d
        pieces.append(0.5 * (2 * b + (c - a) * t + square * t**2 + cubic * t**3))
    return np.concatenate([*pieces, points[-2:-1]])
