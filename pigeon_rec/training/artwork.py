"""The training artwork as arrays; held-out pairs are never among it."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.data.world import load_world

__all__ = ["WORLD", "TrainingArtwork", "decode_artwork", "load_artwork", "shifted"]

WORLD = "bundled"
"""The world whose artwork and users are trained on."""

_NO_DESCRIPTIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class TrainingArtwork:
    """Decoded artwork, one row per (concept, style) pair.

    Attributes:
        rows: Catalogue rows without image bytes, in the order of the arrays.
        images: uint8 `[n, 64, 64, 3]`.
        style: int64 `[n]`, index into `styles`.
        concept: int64 `[n]`, index into `concepts`.
        at: int64 `[concepts, styles]`, the row of a pair, -1 where there is none.
        style_descriptions: Style -> its look in words.
    """

    rows: pl.DataFrame
    images: NDArray[np.uint8]
    style: NDArray[np.int64]
    concept: NDArray[np.int64]
    at: NDArray[np.int64]
    styles: tuple[str, ...]
    concepts: tuple[str, ...]
    style_descriptions: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.images)


def load_artwork(concepts: Collection[str] | None = None) -> TrainingArtwork:
    """Decodes the artwork that is not held out, of all (11,000 images, 140 MB) or some concepts."""
    world = load_world(WORLD)
    rows = world.training_artwork()
    if concepts is not None:
        rows = rows.filter(pl.col("concept").is_in(list(concepts)))
    return decode_artwork(rows, world.style_descriptions)


def decode_artwork(
    rows: pl.DataFrame, style_descriptions: Mapping[str, str] = _NO_DESCRIPTIONS
) -> TrainingArtwork:
    """Decodes catalogue rows; their styles and concepts are numbered in alphabetical order."""
    images = np.stack([_decode(data) for data in rows["image"]])
    styles = tuple(sorted(rows["style"].unique()))
    concepts = tuple(sorted(rows["concept"].unique()))
    style = np.searchsorted(np.array(styles), rows["style"].to_numpy().astype(str))
    concept = np.searchsorted(np.array(concepts), rows["concept"].to_numpy().astype(str))
    at = np.full((len(concepts), len(styles)), -1, dtype=np.int64)
    at[concept, style] = np.arange(len(rows))
    return TrainingArtwork(
        rows.drop("image"), images, style, concept, at, styles, concepts, style_descriptions
    )


def _decode(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def shifted(
    images: NDArray[np.uint8], random: np.random.Generator, reach: int
) -> NDArray[np.uint8]:
    """Moves each image by up to `reach` pixels over white and mirrors it with probability 1/2."""
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), constant_values=255)
    rows = random.integers(0, 2 * reach + 1, count)[:, None] + np.arange(height)
    columns = random.integers(0, 2 * reach + 1, count)[:, None] + np.arange(width)
    columns = np.where(random.random(count)[:, None] < 0.5, columns, columns[:, ::-1])
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
