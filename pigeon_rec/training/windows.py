"""Windows of the users' sequences: the training samples of both stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.sequences import make_sequences
from pigeon_rec.training.artwork import WORLD, TrainingArtwork, for_validation

__all__ = ["Windows", "concepts_of", "load_windows"]

_LEAST_IN_STYLE = 2


@dataclass(frozen=True)
class Windows:
    """Windows of one split, without held-out artwork.

    Attributes:
        sequences: The rows of `make_sequences`, one per window.
        history: int64 `[n, 5]` artwork rows, oldest first.
        target: int64 `[n]` artwork rows.
    """

    sequences: pl.DataFrame
    history: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> Windows:
        """Returns the same windows on a device."""
        return Windows(self.sequences, self.history.to(device), self.target.to(device))


def load_windows(artwork: TrainingArtwork, split: str) -> Windows:
    """Loads the windows of one split (`train`, `valid` or `test`; paper section 4.1).

    Windows with an item outside `artwork` (such as a held-out pair) are dropped, and so are those
    with fewer than two history images in the target's style, which do not determine the style. No
    target of `train` is a pair that other recipes validate on.
    """
    sequences = make_sequences(_interactions()).filter(pl.col("split") == split)
    row_of = {item: row for row, item in enumerate(artwork.rows["item_id"])}
    history = _rows(row_of, sequences["history_ids"].explode()).reshape(len(sequences), -1)
    target = _rows(row_of, sequences["target_id"])
    known = (history >= 0).all(1) & (target >= 0)
    if split == "train":
        known &= ~for_validation(sequences["target_id"])
    same = (artwork.style[history] == artwork.style[target][:, None]).sum(1)
    chosen = known & (same >= _LEAST_IN_STYLE)
    return Windows(
        sequences.filter(pl.Series(chosen)),
        torch.from_numpy(history[chosen]),
        torch.from_numpy(target[chosen]),
    )


def concepts_of(users: int) -> frozenset[str]:
    """Concepts in the sequences of the first `users` users, which stay complete with them."""
    interactions = _interactions()
    first = interactions["user_id"].unique().sort().head(users)
    items = interactions.filter(pl.col("user_id").is_in(first.implode()))["item_id"]
    return frozenset(item.split("/", 1)[1] for item in items)


def _interactions() -> pl.DataFrame:
    return load_interactions(WORLD, load_catalogue(WORLD))[0]


def _rows(row_of: dict[str, int], items: pl.Series) -> NDArray[np.int64]:
    return np.array([row_of.get(item, -1) for item in items], dtype=np.int64)
