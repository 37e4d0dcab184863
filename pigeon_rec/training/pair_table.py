"""The table of preference pairs: schema, writing and reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pigeon_rec.errors import TrainingError
from pigeon_rec.runtime.files import write_parquet

__all__ = ["PAIRS", "SCHEMA", "PairTensors", "pair_tensors", "read_pairs", "write_pairs"]

PAIRS = "pairs.parquet"
"""Name of the table in a training folder."""

SCHEMA: Mapping[str, Any] = {
    # The window.
    "split": pl.String(),
    "kind": pl.String(),  # of the rejected sequence: candidates, copy or stranger; or clicks
    "user_id": pl.String(),
    "position": pl.Int64(),  # of the target among the user's interactions; null for clicks
    "history_ids": pl.List(pl.String()),
    "target_id": pl.String(),
    "reference_id": pl.String(),
    "target_text": pl.String(),
    # Conditioning of the chosen candidate.
    "history_codes": pl.List(pl.Int32()),  # image by image
    "history_keep": pl.List(pl.Boolean()),
    "reference_codes": pl.List(pl.Int32()),
    "reference_keep": pl.List(pl.Boolean()),
    # The pair.
    "chosen_codes": pl.List(pl.Int32()),
    "rejected_codes": pl.List(pl.Int32()),
    "chosen_ratio": pl.Float64(),
    "rejected_ratio": pl.Float64(),  # null for hard negatives and originals
    "weight": pl.Float64(),  # in the loss; 1 unless the pair is from clicks
    "text_margin": pl.Float64(),  # between the renderings; null for clicks
    "history_margin": pl.Float64(),
    # Previews of all candidates, in the order of their ratios.
    "mask_ratios": pl.List(pl.Float64()),
    "scores": pl.List(pl.Float64()),
    "history_scores": pl.List(pl.Float64()),
    "text_scores": pl.List(pl.Float64()),
    # Provenance.
    "model_digest": pl.String(),
    "config_hash": pl.String(),
    "seed": pl.Int64(),
    "product_version": pl.String(),
    "torch_version": pl.String(),
}
"""Columns of `pairs.parquet`, a row per pair."""


@dataclass(frozen=True)
class PairTensors:
    """Pairs as tensors for training; codes are padded with `NO_CODE`.

    Attributes:
        texts: Target text of each pair.
        history: int64 `[n, images, P]`.
        history_keep: float32 `[n, images, P]`, 0 where masked.
        reference: int64 `[n, P]`.
        reference_keep: float32 `[n, P]`.
        chosen: int64 `[n, P]`.
        rejected: int64 `[n, P]`.
        weight: float32 `[n]`, of each pair in the loss.
    """

    texts: tuple[str, ...]
    history: Tensor
    history_keep: Tensor
    reference: Tensor
    reference_keep: Tensor
    chosen: Tensor
    rejected: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.chosen)

    def to(self, device: torch.device) -> PairTensors:
        """Returns the same pairs on a device."""
        texts, *values = vars(self).values()
        return PairTensors(texts, *(value.to(device) for value in values))


def write_pairs(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Writes pairs as parquet, atomically."""
    write_parquet(pl.DataFrame(list(rows), schema=dict(SCHEMA), orient="row"), path)


def read_pairs(folder: Path) -> pl.DataFrame:
    """Reads the preference pairs of a training folder.

    Raises:
        TrainingError: The file is missing or damaged, or has other columns.
    """
    path = folder / PAIRS
    try:
        pairs = pl.read_parquet(path)
        if "weight" not in pairs.columns:  # made before there were weights
            pairs = pairs.with_columns(weight=1.0)
        return pairs.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise TrainingError(
            f"the preference pairs cannot be read: {error}",
            location=str(path),
            remedy="Make them first: pigeon-rec train pairs",
        ) from error


def pair_tensors(pairs: pl.DataFrame) -> PairTensors:
    """Converts pairs to tensors; all histories must have the same number of images."""
    patches = len(pairs["reference_codes"][0])

    def rows(column: str, *shape: int) -> Tensor:
        flat = np.array(pairs[column].explode().to_numpy())
        return torch.from_numpy(flat).reshape(len(pairs), *shape, patches)

    return PairTensors(
        texts=tuple(pairs["target_text"]),
        history=rows("history_codes", -1).long(),
        history_keep=rows("history_keep", -1).float(),
        reference=rows("reference_codes").long(),
        reference_keep=rows("reference_keep").float(),
        chosen=rows("chosen_codes").long(),
        rejected=rows("rejected_codes").long(),
        weight=torch.from_numpy(pairs["weight"].cast(pl.Float32).to_numpy(writable=True)),
    )
