"""Preference pairs for stage 2 from clicks: of two served pictures of one item, one was clicked.

Both pictures are turned into visual codes anew, since nights keep pixels only. The model sees what
the clicked picture was drawn from: its history, the item's own picture and text, and the masks of
its mask ratio under its asset key.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from pigeon_rec._version import __version__
from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.data.dataset import Dataset
from pigeon_rec.data.sequences import HISTORY_LENGTH
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.drawing.texts import target_texts
from pigeon_rec.errors import TrainingError
from pigeon_rec.model.placing import set_threads
from pigeon_rec.runtime.digests import digest, frame_sha256
from pigeon_rec.training.artwork import for_validation
from pigeon_rec.training.configuration import TrainingConfig
from pigeon_rec.training.data import folder_data
from pigeon_rec.training.pair_maker import conditioning, load_drawer
from pigeon_rec.training.pair_table import PAIRS, write_pairs
from pigeon_rec.training.provenance import PICTURE_RECIPES, pairs_config_hash, weights_digest

__all__ = ["CLICKS", "ClickPairs", "make_click_pairs"]

CLICKS: Final = "clicks"
"""Kind of these pairs."""

_MOST_WEIGHT: Final = 10.0
"""Largest weight of a pair, as a multiple of the mean: one rare pair must not rule a batch."""


@dataclass(frozen=True)
class ClickPairs:
    """Result of `make_click_pairs`.

    Attributes:
        path: The table of pairs.
        train: Pairs to train on.
        valid: Pairs to validate on: those of items that no recipe trains on.
        left_out: Reason -> number of pairs that cannot be used.
    """

    path: Path
    train: int
    valid: int
    left_out: Mapping[str, int]


def make_click_pairs(
    config: TrainingConfig, folder: Path, clicks: pl.DataFrame, *, data: Dataset | None = None
) -> ClickPairs:
    """Makes `folder/pairs.parquet` from clicks, in place of any other pairs.

    A pair's weight in the loss is the product of the mean inverse propensities of its pictures,
    divided by the mean of all pairs, at most 10.

    Args:
        config: Sizes of the model, and the mask ratio of histories.
        folder: Training folder with stage 1 and the scorer.
        clicks: Rows of `warehouse.feedback.click_pairs`.
        data: Catalogue and scenario; those of the folder by default.

    Raises:
        TrainingError: A recipe has not been trained in `folder`, or no pair can be used.
    """
    model = weights_digest(folder, *PICTURE_RECIPES)
    data = data or folder_data(folder)
    set_threads(config.pairs.threads)
    drawer = load_drawer(config, folder, data)
    left_out: Counter[str] = Counter()
    rows = _usable(clicks, data, drawer, left_out)
    content = frame_sha256(clicks.drop("chosen_image", "rejected_image"))
    made = {
        "model_digest": model,
        "config_hash": digest([CLICKS, pairs_config_hash(config), content]),
        "seed": config.pairs.seed,
        "product_version": __version__,
        "torch_version": torch.__version__,
    }
    pairs = [row | made for row in rows]
    if not pairs:
        why = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise TrainingError(
            f"none of {clicks.height} pairs from clicks can be used" + (f": {why}" if why else ""),
            location=str(folder),
            remedy="Import more exposures, or compare within cohorts",
        )
    path = folder / PAIRS
    write_pairs(pairs, path)
    split = Counter(pair["split"] for pair in pairs)
    return ClickPairs(path, split["train"], split["valid"], dict(left_out))


def _usable(
    clicks: pl.DataFrame, data: Dataset, drawer: Drawer, left_out: Counter[str]
) -> list[dict[str, Any]]:
    """Rows of the table of pairs, without provenance; the others are counted by reason."""
    known, held_out = set(data.catalogue.item_ids), set(data.held_out_items()["item_id"])
    candidates = []
    for row in clicks.iter_rows(named=True):
        fault = _fault(row, known, held_out)
        if fault is None:
            candidates.append(row)
        else:
            left_out[fault] += 1
    if not candidates:
        return []
    codes, broken = _codes_of(candidates, data, drawer)
    requests = [
        Request(key=row["chosen_key"], history=tuple(row["history_ids"]), reference=row["item_id"])
        for row in candidates
    ]
    items = drawer.items(requests)
    own_codes = drawer.codes(items)
    texts = target_texts(drawer.prompt, drawer.catalogue.rows([r.reference for r in requests]))
    validated = for_validation(r.reference for r in requests)
    pairs = []
    for row, request, text, valid in zip(candidates, requests, texts, validated, strict=True):
        if items.fault(request) is not None or broken & {row["chosen_key"], row["rejected_key"]}:
            left_out["have a picture that cannot be read"] += 1
            continue
        own = own_codes[items.rows([row["item_id"]])[0]]
        chosen, rejected = codes[row["chosen_key"]], codes.get(row["rejected_key"], own)
        if np.array_equal(chosen, rejected):
            left_out["have pictures of the same visual codes"] += 1
            continue
        pairs.append(
            {
                "split": "valid" if valid else "train",
                "kind": CLICKS,
                "user_id": row["user_id"],
                "position": None,
                "history_ids": row["history_ids"],
                "target_id": row["item_id"],
                "reference_id": row["item_id"],
                "target_text": text,
                **conditioning(drawer, request, items, row["chosen_ratio"]),
                "chosen_codes": chosen.tolist(),
                "rejected_codes": rejected.tolist(),
                "chosen_ratio": row["chosen_ratio"],
                "rejected_ratio": row["rejected_ratio"],
                "weight": row["weight"],
            }
        )
    return _weighted(pairs)


def _fault(row: Mapping[str, Any], known: set[str], held_out: set[str]) -> str | None:
    """Why a pair cannot be used, in words that follow a number; None if it can."""
    seen = {row["item_id"], *row["history_ids"]}
    if seen - known:
        return "have an item that the catalogue does not have"
    if seen & held_out:
        return "have an item that is held out"
    if len(row["history_ids"]) != HISTORY_LENGTH:
        return f"have a history of other than {HISTORY_LENGTH} items"
    return None


def _codes_of(
    rows: list[dict[str, Any]], data: Dataset, drawer: Drawer
) -> tuple[dict[str, NDArray[np.int64]], set[str]]:
    """Visual codes of the drawn pictures by asset key, and the keys of unreadable ones."""
    images = {
        row[f"{side}_key"]: row[f"{side}_image"]
        for row in rows
        for side in ("chosen", "rejected")
        if row[f"{side}_key"] is not None
    }
    missing = {key for key, image in images.items() if image is None}
    found = {key: image for key, image in images.items() if image is not None}
    # Decoded and fitted as pictures of the catalogue are.
    frame = pl.DataFrame(
        {
            "item_id": list(found),
            "image": list(found.values()),
            "image_uri": "",
            "image_sha256": [hashlib.sha256(image).hexdigest() for image in found.values()],
        },
        schema_overrides={"item_id": pl.String, "image": pl.Binary, "image_sha256": pl.String},
    )
    drawn = Catalogue(frame, None, data.catalogue.aspect)
    pixels, problems = drawn.images(list(found), size=drawer.pipeline.config.tokenizer.image_size)
    codes = drawer.pipeline.encode_images(pixels)
    broken = missing | {problem.subject for problem in problems}
    return dict(zip(found, codes, strict=True)), broken


def _weighted(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pairs with weights of mean 1, before the largest are cut."""
    if not pairs:
        return []
    weights = np.array([pair["weight"] for pair in pairs])
    weights = np.minimum(weights / weights.mean(), _MOST_WEIGHT)
    return [pair | {"weight": weight} for pair, weight in zip(pairs, weights.tolist(), strict=True)]
