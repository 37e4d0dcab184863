"""Preference pairs for stage 2, from the stage-1 model's own candidates.

The stage-1 model draws each sampled training window at several reference mask ratios; candidates
that differ clearly make a pair. Finished batches are kept on disk, so a killed run resumes.
"""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch

from pigeon_rec._version import __version__
from pigeon_rec.errors import TrainingError
from pigeon_rec.model.placing import set_threads
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.configuration import TrainingConfig
from pigeon_rec.training.data import folder_data
from pigeon_rec.training.pair_maker import PairMaker
from pigeon_rec.training.pair_table import PAIRS, read_pairs, write_pairs
from pigeon_rec.training.provenance import PICTURE_RECIPES, pairs_config_hash, weights_digest
from pigeon_rec.training.recipes import training_artwork

__all__ = ["make_pairs"]

_LABEL = "preference windows"


def make_pairs(
    config: TrainingConfig,
    folder: Path,
    *,
    artwork: TrainingArtwork | None = None,
    progress: Progress = silent,
) -> Path:
    """Makes `folder/pairs.parquet` and returns its path.

    A table made with the same settings by the same model is kept. `pairs.minutes` are those of one
    call: a table has the pairs that could be made in them.

    Args:
        config: Settings of the pairs, and sizes of the model.
        folder: Training folder with stage 1 and the scorer.
        artwork: What to draw, if it has been loaded; that of the folder's data by default.
        progress: Called after every batch, with the number of pairs so far.

    Raises:
        TrainingError: A recipe has not been trained in `folder`, or no window gave a pair.
    """
    made = {
        "model_digest": weights_digest(folder, *PICTURE_RECIPES),
        "config_hash": pairs_config_hash(config),
        "seed": config.pairs.seed,
        "product_version": __version__,
        "torch_version": torch.__version__,
    }
    path = folder / PAIRS
    if _is_made(folder, made):
        return path
    set_threads(config.pairs.threads)
    maker = PairMaker.load(config, folder, artwork or training_artwork(config, folder_data(folder)))
    batches = list(maker.batches())
    total = sum(len(batch) for batch in batches)
    parts, done, kept = folder / "pairs" / f"{made['config_hash']}-{made['model_digest']}", 0, 0
    ends = time.monotonic() + 60 * (config.pairs.minutes or math.inf)
    for place, batch in enumerate(batches):
        part = parts / f"{place:05d}.parquet"
        if not part.is_file():
            write_pairs([row | made for row in maker.pairs(batch)], part)
        found = _height(part)
        done, kept = done + len(batch), kept + found
        progress(_LABEL, done, total, pairs=kept)
        if batch.split == "train" and found and time.monotonic() >= ends:
            break
    if not kept:
        raise TrainingError(
            f"none of {total} windows gave a pair",
            location="pairs.min_margin",
            remedy="Lower the least margin, or use more windows or mask ratios",
        )
    _join(parts, path)
    shutil.rmtree(folder / "pairs")
    return path


def _is_made(folder: Path, made: dict[str, Any]) -> bool:
    """Whether the table exists, made with the same settings by the same model."""
    if not (folder / PAIRS).is_file():
        return False
    names = ["model_digest", "config_hash"]
    return read_pairs(folder).select(names).unique().to_dicts() == [
        {name: made[name] for name in names}
    ]


def _height(part: Path) -> int:
    return int(pl.scan_parquet(part).select(pl.len()).collect().item())


def _join(parts: Path, path: Path) -> None:
    tables = [pl.read_parquet(part) for part in sorted(parts.glob("*.parquet"))]
    write_pairs(pl.concat(tables).to_dicts(), path)
