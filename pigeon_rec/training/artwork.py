"""The training artwork as arrays; held-out pairs are never among it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pigeon_rec.data.world import load_world

__all__ = [
    "WORLD",
    "ArtworkTensors",
    "TrainingArtwork",
    "decode_artwork",
    "for_validation",
    "load_artwork",
]

WORLD = "bundled"
"""The world whose artwork and users are trained on."""

_VALIDATION_SHARE = 0.03
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


def for_validation(item_ids: Iterable[str]) -> NDArray[np.bool_]:
    """Which items are validated on and never trained on: 3 % of them, by a hash of the id."""
    limit = round(_VALIDATION_SHARE * 2**32)
    digests = (hashlib.sha256(item_id.encode()).digest() for item_id in item_ids)
    return np.array([int.from_bytes(d[:4], "big") < limit for d in digests], dtype=np.bool_)


@dataclass(frozen=True)
class ArtworkTensors:
    """Artwork on a device, for recipes to cut batches from.

    Attributes:
        images: uint8 `[n, 3, H, W]`.
        style: int64 `[n]`.
        concept: int64 `[n]`.
        at: int64 `[concepts, styles]`, the row of a pair to train on, -1 where there is none.
        training: int64, the rows to train on.
        validation: int64, the other rows, in the order of their styles.
    """

    images: Tensor
    style: Tensor
    concept: Tensor
    at: Tensor
    training: Tensor
    validation: Tensor

    @classmethod
    def of(cls, artwork: TrainingArtwork) -> ArtworkTensors:
        """Returns the artwork as tensors on the CPU."""
        kept_back = for_validation(artwork.rows["item_id"])
        validation = np.flatnonzero(kept_back)
        order = np.argsort(artwork.style[validation], kind="stable")
        at = np.where(np.isin(artwork.at, validation), -1, artwork.at)
        arrays = (artwork.style, artwork.concept, at, np.flatnonzero(~kept_back), validation[order])
        images = torch.from_numpy(artwork.images).permute(0, 3, 1, 2).contiguous()
        return cls(images, *(torch.from_numpy(array) for array in arrays))

    def to(self, device: torch.device) -> ArtworkTensors:
        """Returns the same artwork on a device."""
        return ArtworkTensors(*(values.to(device) for values in vars(self).values()))

    def pixels(self, rows: Tensor) -> Tensor:
        """Pixels float32 `[n, 3, H, W]` in [-1, 1] of rows int64 `[n]`."""
        return self.images[rows].float() / 127.5 - 1.0

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Random rows to train on, int64 `[count]`."""
        places = torch.randint(len(self.training), (count,), generator=random, device=random.device)
        return self.training[places]
