"""Small nights for the warehouse tests: tiny PNGs, every frame in its schema."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection
from PIL import Image

from pigeon_rec.warehouse import NIGHT_SCHEMAS, NightRecords

FIRST = dt.date(2026, 6, 1)
SECOND = dt.date(2026, 6, 2)
TABLES = ("runs", "assets", "run_assets", "asset_scores", "rejections", "problems")

Pair = tuple[str, str]


def picture(text: str, encoding: str = "PNG", size: int = 4) -> bytes:
    """A tiny picture whose colour comes from the text."""
    red, green, blue = hashlib.sha256(text.encode()).digest()[:3]
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (red, green, blue)).save(stream, encoding, lossless=True)
    return stream.getvalue()


def key_of(pair: Pair, version: str = "v1") -> str:
    return hashlib.sha256("|".join((*pair, version)).encode()).hexdigest()


def assets_of(pairs: Sequence[Pair], version: str = "v1", salt: str = "") -> pl.DataFrame:
    rows = []
    for pair in pairs:
        image = picture(f"{pair}{version}{salt}")
        rows.append(
            {
                "asset_key": key_of(pair, version),
                "user_id": pair[0],
                "item_id": pair[1],
                "image": image,
                "image_uri": None,
                "image_sha256": hashlib.sha256(image).hexdigest(),
                "format": "png",
                "width": 4,
                "height": 4,
                "mask_ratio": 0.3,
                "seed": 7,
                "model_version": "sticker-64@1",
                "history_ids": ["noto/cat", "noto/dog"],
            }
        )
    return pl.DataFrame(rows, schema=NIGHT_SCHEMAS["assets"])


def scores_of(pairs: Sequence[Pair], version: str = "v1", shift: float = 0.0) -> pl.DataFrame:
    metrics = {"text_score": 0.25, "history_score": 0.5, "selection_score": 0.375}
    rows = [
        {
            "asset_key": key_of(pair, version),
            "metric": metric,
            "value": value + shift + len(pair[1]) / 100,
        }
        for pair in pairs
        for metric, value in metrics.items()
    ]
    return pl.DataFrame(rows, schema=NIGHT_SCHEMAS["scores"])


def run_assets_of(
    generated: Sequence[Pair], reused: Sequence[Pair] = (), version: str = "v1"
) -> pl.DataFrame:
    rows = [
        {
            "user_id": pair[0],
            "item_id": pair[1],
            "asset_key": key_of(pair, version),
            "origin": origin,
            "priority": 0.5,
        }
        for origin, pairs in (("generated", generated), ("reused", reused))
        for pair in pairs
    ]
    return pl.DataFrame(rows, schema=NIGHT_SCHEMAS["run_assets"])


def rejections_of(pairs: Sequence[Pair], version: str = "v1") -> pl.DataFrame:
    rows = [
        {
            "user_id": pair[0],
            "item_id": pair[1],
            "asset_key": key_of(pair, version),
            "reason": "blank",
            "detail": "pixel deviation 0.1 is below 6.0",
        }
        for pair in pairs
    ]
    return pl.DataFrame(rows, schema=NIGHT_SCHEMAS["rejections"])


def problems_of(count: int) -> pl.DataFrame:
    rows = [
        {
            "kind": "image_missing",
            "subject": f"noto/{number}",
            "location": "items.parquet",
            "message": "no such file",
        }
        for number in range(count)
    ]
    return pl.DataFrame(rows, schema=NIGHT_SCHEMAS["problems"])


def night_of(  # noqa: PLR0913 - one keyword per table
    generated: Sequence[Pair] = (),
    *,
    date: dt.date = FIRST,
    reused: Sequence[Pair] = (),
    rejected: Sequence[Pair] = (),
    problems: int = 0,
    version: str = "v1",
    salt: str = "",
    shift: float = 0.0,
) -> NightRecords:
    """A consistent night; `salt` changes the bytes and `shift` the scores under the same keys."""
    return NightRecords(
        logical_date=date,
        model_version="sticker-64@1",
        settings_hash="5e77",
        seed=7,
        config={"plan": {"shards": 4}, "model": "sticker-64"},
        planned=len(generated) + len(reused) + len(rejected),
        skipped=3,
        assets=assets_of(generated, version, salt),
        run_assets=run_assets_of(generated, reused, version),
        scores=scores_of([*generated, *rejected], version, shift),
        rejections=rejections_of(rejected, version),
        problems=problems_of(problems),
    )


def again(night: NightRecords) -> NightRecords:
    """The same night planned again: all its assets are known now, so none is drawn."""
    return dataclasses.replace(
        night,
        assets=night.assets.clear(),
        scores=night.scores.clear(),
        run_assets=night.run_assets.with_columns(origin=pl.lit("reused")),
    )


def contents(connection: DuckDBPyConnection) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, clock columns included."""
    return {
        table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
        for table in TABLES
    }


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
