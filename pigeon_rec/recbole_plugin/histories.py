"""Interactions and histories of a RecBole data set, by RecBole's internal ids."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import torch
from recbole.utils import ModelType
from torch import Tensor

__all__ = ["Histories", "interactions_of", "recency_weights", "timestamps_of"]

_SCHEMA: Final = {"seconds": pl.Float64()}


@dataclass(frozen=True)
class Histories:
    """The newest interactions of every user.

    Attributes:
        items: int64 `[n_users, length]`, oldest first, padded with 0.
        lengths: int64 `[n_users]`.
    """

    items: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, dataset: Any, max_history: int) -> Histories:
        """Reads a training set; without timestamps, its row order is taken as the order in time."""
        rows = interactions_of(dataset).group_by("user", maintain_order=True)
        newest = rows.agg(pl.col("item").tail(max_history))
        length = max([1, *newest["item"].list.len()])
        items = torch.zeros(dataset.user_num, length, dtype=torch.int64)
        lengths = torch.zeros(dataset.user_num, dtype=torch.int64)
        for user, history in newest.iter_rows():
            items[user, : len(history)] = torch.tensor(history)
            lengths[user] = len(history)
        return cls(items, lengths)


def interactions_of(dataset: Any) -> pl.DataFrame:
    """Returns `user i64, item i64, seconds f64 (or null)`, sorted by user and time."""
    feat = dataset.inter_feat
    time = dataset.time_field if dataset.time_field in feat else None
    columns = {
        "user": feat[dataset.uid_field].numpy(),
        "item": feat[dataset.iid_field].numpy(),
        "seconds": feat[time].double().numpy() if time else [None] * len(feat),
    }
    rows = pl.DataFrame(columns, schema_overrides=_SCHEMA)
    if dataset.config["MODEL_TYPE"] == ModelType.SEQUENTIAL:
        # Each user's first item is stored only inside sequences, and of benchmark files, whose
        # sequences RecBole takes as they are, any item may be.
        whole = dataset.config["benchmark_filename"] is not None
        rows = pl.concat([_listed_items(dataset, time, whole=whole), rows])
        rows = rows.unique(["user", "item"], keep="last", maintain_order=True) if whole else rows
    return rows.sort("user", "seconds", maintain_order=True)


def timestamps_of(rows: pl.DataFrame) -> pl.Expr:
    """Timestamps of the rows of `interactions_of`; if they have none, one day apart."""
    order = (
        pl.int_range(pl.len()).over("user").cast(pl.Float64())
        * dt.timedelta(days=1).total_seconds()
    )
    seconds = order if rows["seconds"].null_count() else pl.col("seconds")
    return (seconds * 1e6).round().cast(pl.Int64()).cast(pl.Datetime("us", "UTC"))


def _listed_items(dataset: Any, time: str | None, *, whole: bool) -> pl.DataFrame:
    """Rows of `interactions_of` that are only in sequences: of length 1, or (`whole`) all."""
    feat = dataset.inter_feat
    suffix = dataset.config["LIST_SUFFIX"]
    lengths = feat[dataset.item_list_length_field]
    chosen = slice(None) if whole else lengths == 1
    items = feat[dataset.iid_field + suffix][chosen]
    inside = torch.arange(items.shape[1]) < lengths[chosen].unsqueeze(-1)
    users = feat[dataset.uid_field][chosen].unsqueeze(-1).expand_as(items)
    dated = time is not None and time + suffix in feat  # benchmark files may lack it
    times = feat[time + suffix][chosen][inside].double().numpy() if dated and time else None
    count = int(inside.sum())
    return pl.DataFrame(
        {
            "user": users[inside].numpy(),
            "item": items[inside].numpy(),
            "seconds": times if times is not None else [None] * count,
        },
        schema_overrides=_SCHEMA,
    )


def recency_weights(items: Tensor, lengths: Tensor, half_life: float) -> Tensor:
    """Returns the weight of every interaction, float32 `[batch, length]`, 0 at padding.

    The newest has weight 1. Recency counts interactions, not days, because RecBole may have
    normalised the timestamps.

    Args:
        items: int64 `[batch, length]`, oldest first, padded with 0.
        lengths: int64 `[batch]`.
        half_life: Number of newer interactions that halves a weight; infinite for equal weights.
    """
    newer = lengths.unsqueeze(-1) - 1 - torch.arange(items.shape[1], device=items.device)
    weights = torch.pow(0.5, newer.float() / half_life)
    return weights.masked_fill((items == 0) | (newer < 0), 0.0)
