"""Sticker artwork as training arrays; held-out artwork never enters here."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.demo.stickers import load_training_stickers
from pigeon_rec.model.arrays import to_pixels

__all__ = ["TrainingArtwork", "decode_stickers", "load_stickers", "shifted", "to_pixels"]


@dataclass(frozen=True)
class TrainingArtwork:
    """All artwork that training may see, decoded.

    Attributes:
        rows: The catalogue rows, in the order of the arrays (without image bytes).
        images: uint8 `[n, 64, 64, 3]`.
        style: int64 `[n]`, index into `styles`.
        concept: int64 `[n]`, index into `concepts`.
        at: int64 `[concepts, styles]`, the row of a pair, -1 where there is none.
    """

    rows: pl.DataFrame
    images: NDArray[np.uint8]
    style: NDArray[np.int64]
    concept: NDArray[np.int64]
    at: NDArray[np.int64]
    styles: tuple[str, ...]
    concepts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)


def load_stickers(concepts: Collection[str] | None = None) -> TrainingArtwork:
    """Decodes every sticker that is not held out (about 11,000 images, 140 MB).

    Args:
        concepts: The concepts to keep; all where not given.
    """
    rows = load_training_stickers()
    if concepts is not None:
        rows = rows.filter(pl.col("concept").is_in(list(concepts)))
    return decode_stickers(rows)


def decode_stickers(rows: pl.DataFrame) -> TrainingArtwork:
    """Decodes catalogue rows of stickers, all styles and concepts among them numbered by name."""
    images = np.stack([_decode(data) for data in rows["image"]])
    styles = tuple(sorted(rows["style"].unique()))
    concepts = tuple(sorted(rows["concept"].unique()))
    style = np.searchsorted(np.array(styles), rows["style"].to_numpy().astype(str))
    concept = np.searchsorted(np.array(concepts), rows["concept"].to_numpy().astype(str))
    at = np.full((len(concepts), len(styles)), -1, dtype=np.int64)
    at[concept, style] = np.arange(len(rows))
    return TrainingArtwork(rows.drop("image"), images, style, concept, at, styles, concepts)


def _decode(data: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def shifted(
    images: NDArray[np.uint8], random: np.random.Generator, reach: int
) -> NDArray[np.uint8]:
    """Each image mirrored half the time and moved by up to `reach` pixels over white."""
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), constant_values=255)
    rows = random.integers(0, 2 * reach + 1, count)[:, None] + np.arange(height)
    columns = random.integers(0, 2 * reach + 1, count)[:, None] + np.arange(width)
    columns = np.where(random.random(count)[:, None] < 0.5, columns, columns[:, ::-1])
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
