"""The files of a small planned and drawn night: real pictures, invented scores."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.warehouse import NIGHT_SCHEMAS

NIGHT = dt.date(2026, 6, 1)
STYLES = ("flat", "line")
CONCEPTS = ("apple", "boat", "cat", "drum")
SHARDS = 2

PLAN_SCHEMA = pl.Schema(
    {
        "asset_key": pl.String(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "status": pl.String(),
        "priority": pl.Float64(),
        "history_ids": pl.List(pl.String),
        "history_scores": pl.List(pl.Float32),
        "shard": pl.Int32(),
        "model_version": pl.String(),
        "settings_hash": pl.String(),
    }
)


def encoded(name: str, kind: str = "PNG") -> tuple[bytes, str]:
    """A 64x64 picture that only `name` has, and its SHA-256."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)).save(stream, kind, lossless=True)
    return stream.getvalue(), hashlib.sha256(stream.getvalue()).hexdigest()


def write_catalogue(folder: Path, titles: dict[str, str] | None = None) -> Path:
    """Items `<style>/<concept>` with picture files; `titles` replaces the title of an item."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for style in STYLES:
        for concept in CONCEPTS:
            item_id = f"{style}/{concept}"
            image, sha256 = encoded(item_id)
            uri = f"images/{style}-{concept}.png"
            (folder / uri).write_bytes(image)
            title = (titles or {}).get(item_id, concept.title())
            rows.append((item_id, title, concept, "things", uri, sha256, style))
    columns = ["item_id", "title", "semantics", "category", "image_uri", "image_sha256", "style"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    frame.write_parquet(folder / "items.parquet")
    return folder / "items.parquet"


@dataclasses.dataclass
class Pair:
    """One request and its outcome."""

    user_id: str
    item_id: str
    status: str = "generate"
    reason: str | None = None
    style: str = "flat"
    image: bytes | None = None

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.user_id}|{self.item_id}".encode()).hexdigest()

    @property
    def shard(self) -> int:
        return int(self.key[:8], 16) % SHARDS

    @property
    def history(self) -> list[str]:
        return [f"{self.style}/{concept}" for concept in CONCEPTS]


@dataclasses.dataclass
class MadeNight:
    """Requests and the other tables of a plan; `write` writes their files."""

    pairs: list[Pair]
    date: dt.date = NIGHT
    skipped: list[tuple[str, str, str, str]] = dataclasses.field(default_factory=list)
    problems: list[tuple[str, str, str, str]] = dataclasses.field(default_factory=list)
    members: dict[str, str] = dataclasses.field(default_factory=dict)

    def write(self, config: NightlyConfig) -> NightPaths:
        paths = NightPaths.of(config, self.date)
        paths.shards.mkdir(parents=True, exist_ok=True)
        self._plan().write_parquet(paths.plan)
        names = ("user_id", "item_id", "reason", "detail")
        _strings(self.skipped, names).write_parquet(paths.skipped)
        names = ("kind", "subject", "location", "message")
        _strings(self.problems, names).write_parquet(paths.problems)
        self._explained().write_parquet(paths.explained)
        _strings(list(self.members.items()), ("user_id", "cohort")).write_parquet(paths.cohorts)
        info = {"model_version": "model-1", "settings_hash": "settings-1"}
        paths.plan_info.write_text(json.dumps(info), encoding="utf-8")
        drawn = [pair for pair in self.pairs if pair.status == "generate"]
        for shard in sorted({pair.shard for pair in drawn}):
            rows = [drawn_row(pair) for pair in drawn if pair.shard == shard]
            pl.DataFrame(rows, infer_schema_length=None).write_parquet(paths.shard(shard))
            time = {"assets": len(rows), "seconds": 0.5 * len(rows)}
            paths.drawing_time(shard).write_text(json.dumps(time), encoding="utf-8")
        return paths

    def _explained(self) -> pl.DataFrame:
        """The planned pairs of users, then the skipped ones."""
        users = [pair for pair in self.pairs if not pair.user_id.startswith("cohort:")]
        planned = [(pair.user_id, pair.item_id, "planned", None) for pair in users]
        rows = [
            (user, item, place, -float(place), 1.0 / place, 1.0, reason, detail)
            for place, (user, item, reason, detail) in enumerate([*planned, *self.skipped], start=1)
        ]
        return pl.DataFrame(rows, schema=NIGHT_SCHEMAS["plan_pairs"], orient="row")

    def _plan(self) -> pl.DataFrame:
        rows = [
            {
                "asset_key": pair.key,
                "user_id": pair.user_id,
                "item_id": pair.item_id,
                "status": pair.status,
                "priority": 1.0 - place / 100,
                "history_ids": pair.history,
                "history_scores": [0.5] * len(pair.history),
                "shard": pair.shard,
                "model_version": "model-1",
                "settings_hash": "settings-1",
            }
            for place, pair in enumerate(self.pairs)
        ]
        return pl.DataFrame(rows, schema=PLAN_SCHEMA)


def drawn_row(pair: Pair) -> dict[str, object]:
    """A row of a shard; scores follow from the key, so they differ between pairs."""
    image, sha256 = encoded(pair.key)
    score = int(pair.key[:4], 16) / 0xFFFF
    return {
        "asset_key": pair.key,
        "user_id": pair.user_id,
        "item_id": pair.item_id,
        "image": pair.image if pair.image is not None else image,
        "format": "png",
        "width": 64,
        "height": 64,
        "image_sha256": sha256,
        "mask_ratio": (0.0, 0.3, 0.6)[int(pair.key[4], 16) % 3],
        "seed": 7,
        "text_score": score,
        "history_score": 1.0 - score,
        "reference_score": score / 2,
        "selection_score": 0.5,
        "rejected_reason": pair.reason,
        "rejected_detail": f"{pair.reason} by 0.10" if pair.reason else None,
    }


def small_night() -> MadeNight:
    """Three users, two pairs each, one of them refused; a skipped pair and a problem."""
    styles = {"ada": "flat", "bob": "line", "cyd": "line"}
    items = ("flat/apple", "line/boat")
    pairs = [Pair(user, item, style=style) for user, style in styles.items() for item in items]
    pairs[3].reason = "off_target"
    return MadeNight(
        pairs,
        skipped=[("dan", "flat/apple", "short_history", "2 interactions, 5 are needed")],
        problems=[
            ("image_corrupt", "line/drum", "items.parquet row 7", "does not decode"),
            ("short_history", "dan", "bundled", "user 'dan' has too little history"),
        ],
    )


def _strings(rows: Sequence[tuple[str, ...]], names: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
