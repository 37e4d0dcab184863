"""Large synthetic nights of small real images."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import struct
import zlib

import numpy as np
import polars as pl
from PIL import Image

from pigeon_rec.data.world import load_world
from pigeon_rec.warehouse import NIGHT_SCHEMAS, NightRecords

__all__ = ["SIDE", "commented", "made_images", "made_night", "small_artwork"]

SIDE = 24
"""Width and height of an image in pixels, that of a thumbnail."""

_ARTWORK = 400
_END = 12  # bytes of the last chunk of a PNG
_METRICS = ("selection_score", "text_score", "history_score")


def made_images(count: int) -> list[bytes]:
    """PNG files of bundled artwork, made distinct by a comment in each."""
    artwork = small_artwork(SIDE)
    return [commented(artwork[n % len(artwork)], str(n).encode()) for n in range(count)]


def small_artwork(side: int) -> list[bytes]:
    """PNG files of bundled artwork, `side` pixels wide and high."""
    artwork = load_world("bundled").artwork()["image"].head(_ARTWORK)
    return [_small(image, side) for image in artwork]


def commented(png: bytes, comment: bytes) -> bytes:
    """The same picture with a comment in its file."""
    body = b"tEXtComment\x00" + comment
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:-_END] + chunk + png[-_END:]


def made_night(count: int, *, items_per_user: int = 20) -> NightRecords:
    """A night that serves `count` generated assets, with three scores each."""
    images = made_images(count)
    numbers = np.arange(count)
    keys = [hashlib.sha256(f"asset {n}".encode()).hexdigest() for n in range(count)]
    random = np.random.default_rng(0)
    pairs = {
        "asset_key": keys,
        "user_id": [f"user-{n // items_per_user:07d}" for n in numbers],
        "item_id": [f"item-{n % items_per_user:04d}" for n in numbers],
    }
    assets = pl.DataFrame(
        {
            **pairs,
            "image": images,
            "image_uri": [None] * count,
            "image_sha256": [hashlib.sha256(image).hexdigest() for image in images],
            "format": ["png"] * count,
            "width": [SIDE] * count,
            "height": [SIDE] * count,
            "mask_ratio": random.choice([0.0, 0.2], count),
            "seed": [0] * count,
            "model_version": ["sticker-64@benchmark"] * count,
            "history_ids": [["noto/cat-face", "noto/dog-face", "noto/fox", "noto/lion"]] * count,
        },
        schema=NIGHT_SCHEMAS["assets"],
    )
    scores = pl.DataFrame(
        {
            "asset_key": keys * len(_METRICS),
            "metric": [metric for metric in _METRICS for _ in keys],
            "value": random.random(count * len(_METRICS)).round(6),
        },
        schema=NIGHT_SCHEMAS["scores"],
    )
    run_assets = pl.DataFrame(
        {**pairs, "origin": ["generated"] * count, "priority": random.random(count)}
    ).select(list(NIGHT_SCHEMAS["run_assets"]))
    return NightRecords(
        logical_date=dt.date(2026, 6, 1),
        model_version="sticker-64@benchmark",
        settings_hash="benchmark",
        seed=0,
        config={"model": "sticker-64"},
        planned=count,
        skipped=0,
        assets=assets,
        run_assets=run_assets,
        scores=scores,
        rejections=pl.DataFrame(schema=NIGHT_SCHEMAS["rejections"]),
        problems=pl.DataFrame(schema=NIGHT_SCHEMAS["problems"]),
    )


def _small(encoded: bytes, side: int) -> bytes:
    stream = io.BytesIO()
    with Image.open(io.BytesIO(encoded)) as image:
        image.convert("RGB").resize((side, side)).save(stream, "PNG")
    return stream.getvalue()
