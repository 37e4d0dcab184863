"""Windows of the users' sequences: the training samples of both stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from pigeon_rec.data.dataset import Dataset
from pigeon_rec.data.sequences import HISTORY_LENGTH, make_sequences
from pigeon_rec.errors import TrainingError
from pigeon_rec.training.artwork import TrainingArtwork, for_validation

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

    Items that are held out, or whose picture cannot be used, are taken out of the users' sequences
    first. Windows with another item outside
    `artwork` are dropped, and, where there are styles, those with fewer than two history images in
    the target's style, which do not determine the style. No target of `train` is an item that other
    recipes validate on.

    Raises:
        TrainingError: There is no window to train on.
    """
    unusable = pl.col("item_id").is_in(list(artwork.unusable))
    sequences = make_sequences(artwork.data.training_interactions().filter(~unusable))
    sequences = sequences.filter(pl.col("split") == split)
    row_of = {item: row for row, item in enumerate(artwork.rows["item_id"])}
    history = _rows(row_of, sequences["history_ids"].explode()).reshape(-1, HISTORY_LENGTH)
    target = _rows(row_of, sequences["target_id"])
    known = (history >= 0).all(1) & (target >= 0)
    if split == "train":
        known &= ~for_validation(sequences["target_id"])
    same = (artwork.style[history] == artwork.style[target][:, None]).sum(1)
    in_style = known & (same >= _LEAST_IN_STYLE)
    # Users without a taste for one style are still users.
    chosen = in_style if in_style.any() else known
    if split == "train" and not chosen.any():
        raise TrainingError(
            "there is no window to train on: no user has chosen six different items with usable "
            "pictures that are not held out",
            location=artwork.data.settings.interactions,
            remedy="Give more interactions",
        )
    return Windows(
        sequences.filter(pl.Series(chosen)),
        torch.from_numpy(history[chosen]),
        torch.from_numpy(target[chosen]),
    )


def concepts_of(data: Dataset, users: int) -> frozenset[str]:
    """Concepts in the sequences of the first `users` users, which stay complete with them.

    An item without a concept stands for itself.
    """
    first = data.interactions["user_id"].unique().sort().head(users)
    chosen = data.interactions.filter(pl.col("user_id").is_in(first.implode()))
    items = data.items.join(chosen, on="item_id", how="semi")
    return frozenset(items.select(pl.coalesce("concept", "item_id"))["concept"])


def _rows(row_of: dict[str, int], items: pl.Series) -> NDArray[np.int64]:
    return np.array([row_of.get(item, -1) for item in items], dtype=np.int64)
