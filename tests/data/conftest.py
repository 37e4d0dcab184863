"""A small catalogue of real pictures in a temporary folder."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.data.pictures import save_picture


def png(colour: tuple[int, ...], size: tuple[int, int] = (8, 8)) -> bytes:
    mode = "RGBA" if len(colour) == 4 else "RGB"
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, format="PNG")
    return out.getvalue()


class Shop:
    """Writes `items.parquet` and its pictures; rows can be changed before they are written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "items.parquet"
        self.rows: list[dict[str, object]] = []

    def add(self, item_id: str, content: bytes, **changes: object) -> None:
        uri = f"images/{len(self.rows)}.png"
        (self.root / "images").mkdir(exist_ok=True)
        (self.root / uri).write_bytes(content)
        row: dict[str, object] = {
            "item_id": item_id,
            "title": f"title of {item_id}",
            "semantics": f"what {item_id} shows",
            "category": "things",
            "image_uri": uri,
            "image_sha256": hashlib.sha256(content).hexdigest(),
        }
        self.rows.append(row | changes)

    def write(self) -> Path:
        pl.DataFrame(self.rows).write_parquet(self.path)
        return self.path


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Items `red`, `green` and `blue`, each one plain colour."""
    made = Shop(tmp_path)
    made.add("red", png((255, 0, 0)))
    made.add("green", png((0, 255, 0)))
    made.add("blue", png((0, 0, 255)))
    return made


@pytest.fixture
def noise_png() -> bytes:
    """A picture of 32x32 random pixels, long enough to be cut in the middle."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the pictures 1.png to 3.png."""
    for number, colour in enumerate(("red", "green", "blue"), start=1):
        save_picture(tmp_path / f"{number}.png", colour)
    return tmp_path
