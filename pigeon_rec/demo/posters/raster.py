"""Turns outlines into masks: drawn four times as large and averaged, so that edges are smooth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pigeon_rec.demo.posters.shapes import Layer, Points, Shape

__all__ = ["HEIGHT", "SIZE", "WIDTH", "Mask", "Warp", "blurred", "fill", "grown", "outline"]

WIDTH, HEIGHT = SIZE = (160, 240)
"""Size of a poster in pixels."""

Mask = NDArray[np.float32]
"""`[240, 160]`, 0..1."""

Warp = Callable[[Points], Points]
"""Moves the points of an outline, in units of the poster's width."""

_FACTOR = 4
_SCALE = WIDTH * _FACTOR
_PIECE = 0.025  # longest straight piece of an outline that is warped
_GAP = 2.0  # widest gap, in enlarged pixels, at the outside of a turn in a thick line


def fill(layer: Layer, warp: Warp | None = None) -> Mask:
    """The area that the layer's shapes cover."""
    return _drawn(layer, 0.0, warp)


def grown(layer: Layer, by: float) -> Mask:
    """The area that the layer's shapes cover, wider by `by` (of the poster's width) all around."""
    return _drawn(layer, 2 * by, None)


def outline(layer: Layer, width: float) -> Mask:
    """A line of `width` (of the poster's width) around the shapes' union, on its outside."""
    return np.clip(grown(layer, width) - fill(layer), 0, 1)


def blurred(mask: Mask, radius: float) -> Mask:
    """The mask behind a Gaussian blur of `radius` pixels."""
    image = Image.fromarray(np.clip(mask * 255, 0, 255).astype(np.uint8))
    soft = image.filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(soft, dtype=np.float32) / np.float32(255)


def _drawn(layer: Layer, wider: float, warp: Warp | None) -> Mask:
    """Draws the layer enlarged, in the smallest rectangle that holds it, and reduces it."""
    outlines = [_Outline.of(shape, wider, warp) for shape in layer.shapes]
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    if not outlines:
        return mask
    low = np.min([one.low for one in outlines], axis=0)
    high = np.max([one.high for one in outlines], axis=0)
    left, top = np.clip(np.floor(low / _FACTOR), 0, SIZE).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high / _FACTOR) + 1, 0, SIZE).astype(int).tolist()
    if left < right and top < bottom:
        image = Image.new("L", ((right - left) * _FACTOR, (bottom - top) * _FACTOR))
        draw = ImageDraw.Draw(image)
        for one in outlines:
            one.draw(draw, (left * _FACTOR, top * _FACTOR))
        small = np.asarray(image.reduce(_FACTOR), dtype=np.float32)
        mask[top:bottom, left:right] = small / np.float32(255)
    return mask


@dataclass(frozen=True)
class _Outline:
    """A shape in enlarged pixels."""

    points: Points
    hole: Points | None
    width: float
    wider: float

    @classmethod
    def of(cls, shape: Shape, wider: float, warp: Warp | None) -> _Outline:
        points = _pixels(shape.points, warp, closed=not shape.width)
        hole = None if shape.hole is None else _pixels(shape.hole, warp, closed=True)
        return cls(points, hole, shape.width * _SCALE, wider * _SCALE)

    @property
    def low(self) -> Points:
        """Upper left corner of the rectangle that holds it."""
        low: Points = self.points.min(axis=0) - (self.width + self.wider) / 2
        return low

    @property
    def high(self) -> Points:
        """Lower right corner of the same rectangle."""
        high: Points = self.points.max(axis=0) + (self.width + self.wider) / 2
        return high

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
        points = self.points - corner
        if self.width:
            _thick(draw, points, self.width + self.wider)
            return
        edges = [_closed(points)] + ([] if self.hole is None else [_closed(self.hole - corner)])
        # One outline that enters the hole and leaves it along the same way.
        draw.polygon(_listed(np.concatenate(edges)), fill=255)
        if self.wider:
            for edge in edges:
                _thick(draw, edge, self.wider)


def _thick(draw: ImageDraw.ImageDraw, points: Points, width: float) -> None:
    """Draws a thick line, round at its ends and corners."""
    draw.line(_listed(points), fill=255, width=max(1, round(width)))
    half = width / 2
    for x, y in _corners(points, width).tolist():
        draw.ellipse((x - half, y - half, x + half, y + half), fill=255)


def _corners(points: Points, width: float) -> Points:
    """The ends of a line, and the points where it turns so much that a gap would be seen."""
    steps = np.diff(points, axis=0)
    directions = np.arctan2(steps[:, 1], steps[:, 0])
    turns = np.abs((np.diff(directions) + np.pi) % (2 * np.pi) - np.pi)
    turning = np.concatenate([[True], turns * width > _GAP, [True]])
    corners: Points = points[turning[: len(points)]]
    return corners


def _listed(points: Points) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points.tolist()]


def _closed(points: Points) -> Points:
    return np.concatenate([points, points[:1]])


def _pixels(points: Points, warp: Warp | None, *, closed: bool) -> Points:
    return _SCALE * (points if warp is None else warp(_dense(points, closed=closed)))


def _dense(points: Points, *, closed: bool) -> Points:
    """The same outline with more points on its long straight pieces."""
    ends = np.concatenate([points[1:], points[:1] if closed else points[-1:]])
    lengths = np.hypot(*(ends - points).T)
    counts = np.maximum(1, np.ceil(lengths / _PIECE)).astype(int)
    piece = np.repeat(np.arange(len(points)), counts)
    place = np.arange(len(piece)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (place / counts[piece])[:, None]
    dense: Points = points[piece] + share * (ends - points)[piece]
    return dense
