"""The simulated users' own sequences as training cases of both alignment stages."""

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
from pigeon_rec.training.artwork import TrainingArtwork

__all__ = ["Windows", "concepts_of", "load_windows"]

_LEAST_IN_STYLE = 2


@dataclass(frozen=True)
class Windows:
    """Windows of one split whose pictures may all be trained on.

    Attributes:
        sequences: `user_id`, `position` and what else `make_sequences` tells, a row per window.
        history: int64 `[n, 5]` sticker rows, oldest first.
        target: int64 `[n]` sticker rows.
    """

    sequences: pl.DataFrame
    history: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)


def load_windows(stickers: TrainingArtwork, split: str) -> Windows:
    """Windows of one split (`train`, `valid` or `test`; paper section 4.1).

    Left out are windows with a picture that is not among `stickers` (held-out artwork never is),
    and those with fewer than two history pictures in the target's style: nothing in such a history
    tells what to draw.
    """
    sequences = _sequences().filter(pl.col("split") == split)
    row_of = {item: row for row, item in enumerate(stickers.rows["item_id"])}
    history = _rows(row_of, sequences["history_ids"].explode()).reshape(len(sequences), -1)
    target = _rows(row_of, sequences["target_id"])
    known = (history >= 0).all(1) & (target >= 0)
    same = (stickers.style[history] == stickers.style[target][:, None]).sum(1)
    chosen = known & (same >= _LEAST_IN_STYLE)
    return Windows(
        sequences.filter(pl.Series(chosen)),
        torch.from_numpy(history[chosen]),
        torch.from_numpy(target[chosen]),
    )


def concepts_of(users: int) -> frozenset[str]:
    """What the first `users` users have met: a small world in which their sequences are whole."""
    interactions = _interactions()
    first = interactions["user_id"].unique().sort().head(users)
    met = interactions.filter(pl.col("user_id").is_in(first.implode()))["item_id"]
    return frozenset(item.split("/", 1)[1] for item in met)


def _interactions() -> pl.DataFrame:
    return load_interactions("bundled", load_catalogue("bundled"))[0]


def _sequences() -> pl.DataFrame:
    return make_sequences(_interactions())


def _rows(row_of: dict[str, int], items: pl.Series) -> NDArray[np.int64]:
    return np.array([row_of.get(item, -1) for item in items], dtype=np.int64)
