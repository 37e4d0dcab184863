"""Drawing one shard of the night's plan: tokenise, write, preview, render, score, select, gate.

An asset's bytes depend on its `asset_key`, the seed and the model only: not on the shard it is in,
its neighbours or their order. A finished shard file of the same plan is kept.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.models import chosen_model
from pigeon_rec.drawing.texts import history_texts, target_texts
from pigeon_rec.model.loading import load_pipeline
from pigeon_rec.model.requests import CodedRequests
from pigeon_rec.nightly.files import SHARD_SCHEMA, read_table
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.runtime.files import write_json, write_parquet
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring import (
    Rejection,
    check_quality,
    picture_scores,
    shortlist,
)
from pigeon_rec.scoring.scorer import Scorer, load_scorer

__all__ = ["SHARD_SCHEMA", "ShardSummary", "generate_shard"]

# Scores are kept to six places: what comes after them is arithmetic noise of the machine.
_PLACES = 6


@dataclass(frozen=True)
class ShardSummary:
    """What became of one shard.

    Attributes:
        shard: Its number.
        path: Its file.
        generated: Assets drawn now; 0 where a finished file was kept.
        kept: Assets of a finished file.
        rejected: Assets that did not pass the gate.
    """

    shard: int
    path: str
    generated: int
    kept: int
    rejected: int


def generate_shard(
    config: NightlyConfig, date: dt.date, shard: int, *, progress: Progress = silent
) -> ShardSummary:
    """Draws every `generate` row of one shard into `shards/shard-NNNN.parquet`.

    Raises:
        PlanError: The night has not been planned.
        ModelError: The model cannot be loaded.
    """
    paths = NightPaths.of(config, date)
    plan = _shard_plan(paths, shard)
    kept = _finished(paths, shard, plan)
    if kept is not None:
        return _summary(paths, shard, kept, generated=0)
    _set_threads(config.threads)
    version = next(iter(plan["model_version"]), None)
    model = chosen_model(config.model, config.work_dir, version)
    began = monotonic()
    drawn = _Studio(config, model.source).draw(plan, shard, progress)
    write_parquet(drawn, paths.shard(shard))
    _note_time(paths.drawing_time(shard), drawn.height, monotonic() - began)
    return _summary(paths, shard, drawn, generated=drawn.height)


def _shard_plan(paths: NightPaths, shard: int) -> pl.DataFrame:
    plan = read_table(paths.plan, "plan")
    wanted = (pl.col("shard") == shard) & (pl.col("status") == "generate")
    return plan.filter(wanted).unique("asset_key", keep="first").sort("asset_key")


def _finished(paths: NightPaths, shard: int, plan: pl.DataFrame) -> pl.DataFrame | None:
    """The shard's file if it holds exactly the planned assets; a damaged one is drawn again."""
    try:
        drawn = pl.read_parquet(paths.shard(shard))
    except (OSError, pl.exceptions.PolarsError):
        return None
    same = (
        drawn.schema == SHARD_SCHEMA and drawn["asset_key"].to_list() == plan["asset_key"].to_list()
    )
    return drawn if same else None


def _summary(paths: NightPaths, shard: int, drawn: pl.DataFrame, generated: int) -> ShardSummary:
    return ShardSummary(
        shard=shard,
        path=str(paths.shard(shard)),
        generated=generated,
        kept=drawn.height - generated,
        rejected=drawn.height - drawn["rejected_reason"].null_count(),
    )


def _note_time(path: Path, assets: int, seconds: float) -> None:
    """Notes what the whole shard took, loading included: what a budget in minutes is made of."""
    if assets:
        write_json({"assets": assets, "seconds": round(seconds, 3)}, path)


def _set_threads(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Shelf:
    """Every picture a shard needs, read, tokenised and embedded once.

    Attributes:
        place: Row of each item in the arrays.
        images: uint8 `[n, side, side, 3]`, squares as the model and the scorer see them.
        codes: int64 `[n, P]`.
        embeddings: float32 `[n, d]`.
        broken: Item ids whose picture cannot be used, with what is wrong.
    """

    place: dict[str, int]
    images: NDArray[np.uint8]
    codes: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    broken: dict[str, str]

    def rows(self, item_ids: Sequence[str]) -> list[int]:
        return [self.place[i] for i in item_ids]


@dataclass(frozen=True)
class _Candidate:
    """One drawing of an asset.

    Attributes:
        image: uint8 `[side, side, 3]`, a square.
        mask_ratio: Share of reference tokens that were dropped.
        scores: By name.
        fault: Why it cannot be served, if so.
    """

    image: NDArray[np.uint8]
    mask_ratio: float
    scores: dict[str, float]
    fault: Rejection | None


@dataclass(frozen=True)
class _Asked:
    """Assets of one batch: what the model is asked, and what the scorer holds it against.

    Attributes:
        keys: All randomness of each asset.
        items: Rows of the catalogue.
        history: Rows of the histories on the shelf, `[assets, length]`.
        reference: Rows of the references on the shelf, `[assets]`.
        texts: Embeddings of what the pictures are to show, `[assets, d]`.
        seen_history: Embeddings of the users' pictures, `[assets, length, d]`.
        seen_reference: Embeddings of the references, `[assets, d]`.
    """

    keys: list[str]
    items: pl.DataFrame
    history: NDArray[np.int64]
    reference: NDArray[np.int64]
    texts: NDArray[np.float32]
    seen_history: NDArray[np.float32]
    seen_reference: NDArray[np.float32]

    def scores(self, seen: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Scores `[assets, candidates]` by name, of embedded pictures `[assets, candidates, d]`."""
        known = (self.texts, self.seen_history, self.seen_reference)
        scores = picture_scores(seen, *(vectors[:, None] for vectors in known))
        return {name: np.round(values, _PLACES) for name, values in scores.items()}


class _Studio:
    """Model, scorer and catalogue, loaded once for a shard."""

    def __init__(self, config: NightlyConfig, model: str) -> None:
        self.config = config
        self.prompt = load_prompt(config.scenario)
        self.catalogue: Catalogue = load_catalogue(config.catalogue, self.prompt.aspect)
        self.pipeline = load_pipeline(model, placement=config.placement)
        self.encoder: Scorer = load_scorer(model)

    def draw(self, plan: pl.DataFrame, shard: int, progress: Progress) -> pl.DataFrame:
        """All assets of `plan` as a frame of `SHARD_SCHEMA`."""
        shelf = self._shelf(plan)
        rows: list[dict[str, Any]] = []
        size = self.config.batch_size
        for start in range(0, plan.height, size):
            rows += self._draw_batch(plan[start : start + size].to_dicts(), shelf)
            progress(f"assets of shard {shard}", len(rows), plan.height)
        return pl.DataFrame(rows, schema=SHARD_SCHEMA).sort("asset_key")

    def _shelf(self, plan: pl.DataFrame) -> _Shelf:
        wanted = plan["history_ids"].explode().to_list() + plan["item_id"].to_list()
        item_ids = sorted({i for i in wanted if i is not None})
        side = self.pipeline.config.tokenizer.image_size
        images, problems = self.catalogue.images(item_ids, size=side)
        return _Shelf(
            place={item: row for row, item in enumerate(item_ids)},
            images=images,
            codes=self.pipeline.encode_images(images),
            embeddings=self.encoder.encode_images(images),
            broken={p.subject: p.message for p in problems},
        )

    def _draw_batch(self, assets: list[dict[str, Any]], shelf: _Shelf) -> list[dict[str, Any]]:
        faults = [_fault(asset, shelf) for asset in assets]
        judged = list(zip(assets, faults, strict=True))
        whole = [asset for asset, fault in judged if fault is None]
        rows = [self._refused(asset, fault) for asset, fault in judged if fault is not None]
        # Histories of different lengths are different shapes: each length is a batch of its own.
        for length in sorted({len(a["history_ids"]) for a in whole}):
            rows += self._draw_equal([a for a in whole if len(a["history_ids"]) == length], shelf)
        return rows

    def _draw_equal(self, assets: list[dict[str, Any]], shelf: _Shelf) -> list[dict[str, Any]]:
        asked = self._asked(assets, shelf)
        settings = self.config.generation
        requests = CodedRequests(
            shelf.codes[asked.history],
            shelf.codes[asked.reference],
            target_texts(self.prompt, asked.items),
            asked.keys,
            self.config.scenario,
            history_texts(self.prompt, self.catalogue, [a["history_ids"] for a in assets]),
        )
        codes = self.pipeline.write(requests, settings)
        places = self._promising(codes, asked)
        images = self.pipeline.render_candidates(codes, asked.keys, settings, places)
        scores = asked.scores(self._embedded(images))
        return [
            self._row(
                asset,
                [
                    self._candidate(
                        images[row, place],
                        settings.mask_ratios[ratio],
                        {name: float(values[row, place]) for name, values in scores.items()},
                        shelf.images[asked.reference[row]],
                    )
                    for place, ratio in enumerate(places[row])
                ],
            )
            for row, asset in enumerate(assets)
        ]

    def _asked(self, assets: list[dict[str, Any]], shelf: _Shelf) -> _Asked:
        items = self.catalogue.rows([a["item_id"] for a in assets])
        history = np.array([shelf.rows(a["history_ids"]) for a in assets])
        reference = np.array(shelf.rows([a["item_id"] for a in assets]))
        return _Asked(
            keys=[f"{a['asset_key']}/{self.config.seed}" for a in assets],
            items=items,
            history=history,
            reference=reference,
            texts=self.encoder.encode_texts(items["semantics"].to_list()),
            seen_history=shelf.embeddings[history],
            seen_reference=shelf.embeddings[reference],
        )

    def _promising(self, codes: NDArray[np.int64], asked: _Asked) -> NDArray[np.int64]:
        """Places of the mask ratios to render, `[assets, candidates]`."""
        count = codes.shape[1]
        rendered = self.config.generation.rendered
        if rendered is None or rendered >= count or not self.pipeline.has_previews:
            return np.broadcast_to(np.arange(count), codes.shape[:2])
        seen = self._embedded(self.pipeline.preview(codes))
        return shortlist(asked.scores(seen)["selection_score"], rendered)

    def _embedded(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`[assets, candidates, side, side, 3]` as the scorer sees them, `[..., d]`."""
        flat = self.encoder.encode_images(images.reshape(-1, *images.shape[2:]))
        return flat.reshape(*images.shape[:2], -1)

    def _candidate(
        self,
        image: NDArray[np.uint8],
        mask_ratio: float,
        scores: dict[str, float],
        reference: NDArray[np.uint8],
    ) -> _Candidate:
        fault = check_quality(image, scores, self.config.gate, reference=reference)
        return _Candidate(image, mask_ratio, scores, fault)

    def _row(self, asset: dict[str, Any], candidates: Sequence[_Candidate]) -> dict[str, Any]:
        """The best candidate that passes the gate; if none does, the best with its fault."""
        order = sorted(candidates, key=lambda c: -c.scores["selection_score"])
        chosen = next((c for c in order if c.fault is None), order[0])
        return {
            **_identity(asset, self.config.seed, chosen.fault),
            **_encoded(
                self.prompt.aspect.from_square(chosen.image), self.config.generation.image_format
            ),
            "mask_ratio": chosen.mask_ratio,
            **chosen.scores,
        }

    def _refused(self, asset: dict[str, Any], fault: str) -> dict[str, Any]:
        rejection = Rejection("undecodable", f"input picture: {fault}")
        nothing = dict.fromkeys(SHARD_SCHEMA.names())
        return {**nothing, **_identity(asset, self.config.seed, rejection)}


def _fault(asset: dict[str, Any], shelf: _Shelf) -> str | None:
    """What is wrong with the asset's input pictures, if anything."""
    for item in [asset["item_id"], *asset["history_ids"]]:
        if item in shelf.broken:
            return f"{item}: {shelf.broken[item]}"
    return None


def _identity(asset: dict[str, Any], seed: int, fault: Rejection | None) -> dict[str, Any]:
    return {
        "asset_key": asset["asset_key"],
        "user_id": asset["user_id"],
        "item_id": asset["item_id"],
        "seed": seed,
        "rejected_reason": fault.reason if fault else None,
        "rejected_detail": fault.detail if fault else None,
    }


def _encoded(image: NDArray[np.uint8], image_format: str) -> dict[str, Any]:
    """The picture's file bytes and what describes them."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if image_format == "webp" else {"optimize": True}
    Image.fromarray(image).save(buffer, format=image_format, **options)
    data = buffer.getvalue()
    return {
        "image": data,
        "format": image_format,
        "width": image.shape[1],
        "height": image.shape[0],
        "image_sha256": hashlib.sha256(data).hexdigest(),
    }
