"""A catalogue of real PNG files with users, and an encoder that needs no weights."""

from __future__ import annotations

import datetime
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

__all__ = ["NIGHT", "PixelEncoder", "png", "write_catalogue", "write_interactions", "write_items"]

NIGHT = datetime.date(2026, 6, 1)


class PixelEncoder:
    """Sees a picture as its 4x4 thumbnail, around grey; counts the pictures it encodes."""

    image_size = 64

    def __init__(self, encoder_id: str = "pixels-1") -> None:
        self.encoder_id = encoder_id
        self.encoded = 0

    def encode_images(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.encoded += len(images)
        blocks = images.reshape(len(images), 4, 16, 4, 16, 3).mean(axis=(2, 4))
        flat = blocks.reshape(len(images), -1).astype(np.float32) - np.float32(127.5)
        vectors: npt.NDArray[np.float32] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return vectors


def png(seed: int) -> bytes:
    """A 64x64 picture of sixteen random colours."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks.repeat(16, axis=0).repeat(16, axis=1)).save(buffer, format="PNG")
    return buffer.getvalue()


def write_items(path: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    """Writes an `items.parquet` of (item_id, image_uri, image_sha256)."""
    pl.DataFrame(
        {
            "item_id": [row[0] for row in rows],
            "title": [f"Title {row[0]}" for row in rows],
            "semantics": [f"a picture of {row[0]}" for row in rows],
            "category": ["things"] * len(rows),
            "image_uri": [row[1] for row in rows],
            "image_sha256": [row[2] for row in rows],
        }
    ).write_parquet(path)
    return path


def write_catalogue(folder: Path, n_items: int) -> Path:
    """Items `i00`, `i01`, ... with a picture each in `folder/images`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(n_items):
        content = png(number)
        (folder / "images" / f"i{number:02d}.png").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        rows.append((f"i{number:02d}", f"images/i{number:02d}.png", sha256))
    return write_items(folder / "items.parquet", rows)


def write_interactions(path: Path, histories: Mapping[str, Sequence[str]]) -> Path:
    """A parquet of one interaction a day, the last of each user on the day before `NIGHT`."""
    rows = [
        (user, item, NIGHT - datetime.timedelta(days=len(items) - place))
        for user, items in histories.items()
        for place, item in enumerate(items)
    ]
    pl.DataFrame(
        rows,
        schema={"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Date()},
        orient="row",
    ).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    ).write_parquet(path)
    return path
