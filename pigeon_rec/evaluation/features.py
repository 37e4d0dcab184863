"""Hand-crafted features of a small picture on white, for the judges (numpy only).

Style: colour palette, gradients and margins. Concept: histograms of oriented gradients (Dalal and
Triggs, CVPR 2005), silhouette and colour layout. Nothing here is learned or shared with the scorer,
which is a trained patch transformer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEATURES", "concept_features", "style_features"]

Images = NDArray[np.uint8]
Features = NDArray[np.float32]

_GREY: Final = np.array([0.299, 0.587, 0.114], np.float32)
_INK: Final = 0.06
"""A pixel at least this far from white in any channel is ink."""
_MARGIN: Final = 12
"""Number of margin widths that are distinguished, in pixels."""


def style_features(images: Images) -> Features:
    """Features of a style (palette, smoothness, margins): uint8 `[n, 64, 64, 3]` -> `[n, 483]`.

    Mostly square roots of shares of the ink pixels.
    """
    x = images.astype(np.float32) / 255.0
    mask = (1.0 - x).max(-1) > _INK  # [n, H, W]
    grey = x @ _GREY
    level = np.minimum((x * 6).astype(np.int64), 5)
    palette = (level[..., 0] * 6 + level[..., 1]) * 6 + level[..., 2]
    parts = [_shares(palette, mask, 216)]
    for channel, gain in ((grey, 1.0), (x[..., 2] - grey, 1.5), (x[..., 0] - grey, 1.5)):
        down, across = _steps(channel)
        parts.append(_shares(_octaves(np.hypot(down, across) * gain, 1.6, 13), mask, 13))
        bend = np.abs(_steps(across)[1]) + np.abs(_steps(down)[0])
        parts.append(_shares(_octaves(bend * gain, 1.6, 13), mask, 13))
    edge = _octaves(np.hypot(*_steps(grey)), 1.2, 9)
    parts.append(_shares(np.minimum((grey * 8).astype(np.int64), 7) * 9 + edge, mask, 72))
    high, low = x.max(-1), x.min(-1)
    vivid = np.minimum(((high - low) / (high + 1e-3) * 8).astype(np.int64), 7)
    parts.append(_shares(vivid * 8 + np.minimum((high * 8).astype(np.int64), 7), mask, 64))
    return np.concatenate([*parts, _margins(mask)], axis=1)


def concept_features(images: Images) -> Features:
    """Features of a concept (edges, silhouette, colour layout): `[n, 64, 64, 3]` -> `[n, 1472]`.

    Each block has a norm of about 1.
    """
    ink = 1.0 - images.astype(np.float32) / 255.0
    mask = (ink.max(-1) > _INK).astype(np.float32)
    colours = _pooled(ink, 8)
    length = np.linalg.norm(colours, axis=1, keepdims=True)
    return np.concatenate(
        [
            _oriented_gradients(ink @ _GREY),
            _oriented_gradients(mask),
            colours / (length + 1e-6),
            _pooled(mask[..., None], 16) / 16.0,
        ],
        axis=1,
    )


FEATURES: Final[dict[str, Callable[[Images], Features]]] = {
    "style": style_features,
    "concept": concept_features,
}
"""Judge -> its features."""


def _steps(channel: Features) -> tuple[Features, Features]:
    """Differences to the pixel above and to the left, 0 at the border."""
    down = np.diff(channel, axis=1, prepend=channel[:, :1])
    return down, np.diff(channel, axis=2, prepend=channel[:, :, :1])


def _octaves(change: Features, bins_per_octave: float, bins: int) -> NDArray[np.int64]:
    """Logarithmic bins of the size of a change; the first is for no change."""
    octaves = np.log2(change * 256.0 + 1.0) * bins_per_octave
    return np.clip(octaves, 0, bins - 1).astype(np.int64)


def _shares(bins: NDArray[np.int64], mask: NDArray[np.bool_], count: int) -> Features:
    """Square root of the share of ink pixels in each bin, `[n, count]`."""
    n = len(bins)
    rows = np.arange(n)[:, None, None] * count + bins
    filled = np.bincount(rows[mask], minlength=n * count).reshape(n, count)
    return np.sqrt(filled / (mask.sum((1, 2))[:, None] + 1.0)).astype(np.float32)


def _margins(mask: NDArray[np.bool_]) -> Features:
    """First and last row and column with ink, share of ink, and each margin one-hot of twelve."""
    rows, columns = mask.any(2), mask.any(1)
    last = mask.shape[1] - 1
    widths = np.stack(
        [side.argmax(1) for side in (rows, rows[:, ::-1], columns, columns[:, ::-1])], 1
    )
    coded = 0.5 * (np.minimum(widths, _MARGIN - 1)[..., None] == np.arange(_MARGIN))
    places = np.where([False, True, False, True], last - widths, widths) / (last + 1)
    plain = np.concatenate([places, mask.mean((1, 2))[:, None]], 1)
    return np.concatenate([plain, coded.reshape(len(mask), -1)], 1).astype(np.float32)


def _oriented_gradients(channel: Features, cells: int = 8, turns: int = 8) -> Features:
    """Square root of the share of edges by cell and direction, `[n, cells² * turns]`."""
    n, height, width = channel.shape
    down, across = np.gradient(channel, axis=(1, 2))
    size = np.hypot(down, across)
    turn = np.arctan2(down, across) % np.pi / np.pi * turns
    lower = np.floor(turn)
    part = turn - lower
    low = lower.astype(np.int64) % turns
    found = np.zeros((n, cells, cells, turns), np.float32)
    for way in range(turns):
        weight = np.where(low == way, 1.0 - part, np.where((low + 1) % turns == way, part, 0.0))
        blocks = (size * weight).reshape(n, cells, height // cells, cells, width // cells)
        found[..., way] = blocks.sum((2, 4))
    flat = found.reshape(n, -1)
    return np.sqrt(flat / (flat.sum(1, keepdims=True) + 1e-6))


def _pooled(channels: Features, cells: int) -> Features:
    n, height, width, depth = channels.shape
    blocks = channels.reshape(n, cells, height // cells, cells, width // cells, depth)
    return blocks.mean((2, 4)).reshape(n, -1)
