"""Training sequences: windows of consecutive interactions (paper section 4.1).

A window is a history of five interactions and the next one as its target; windows have stride 1.
They are split 8:1:1 by the time of their target.
"""

from __future__ import annotations

import polars as pl

__all__ = ["HISTORY_LENGTH", "make_sequences", "sliding_windows", "split_windows"]

HISTORY_LENGTH = 5


def make_sequences(
    interactions: pl.DataFrame, history_length: int = HISTORY_LENGTH
) -> pl.DataFrame:
    """Returns each user's windows with their split (`sliding_windows`, then `split_windows`)."""
    return split_windows(sliding_windows(interactions, history_length))


def sliding_windows(
    interactions: pl.DataFrame, history_length: int = HISTORY_LENGTH
) -> pl.DataFrame:
    """Returns all windows of `history_length` + 1 consecutive interactions of a user, stride 1.

    Args:
        interactions: `user_id`, `item_id` and `timestamp`, in any order.
        history_length: Interactions before the target.

    Returns:
        `user_id`, `history_ids` (list, oldest first), `target_id`, `timestamp` (of the target) and
        `position` (of the target among the user's interactions, from 0), sorted by user and
        position. Users with fewer than `history_length` + 1 interactions have none.
    """
    ordered = interactions.sort("user_id", "timestamp", "item_id", maintain_order=True)
    item = pl.col("item_id")
    history = pl.concat_list(
        item.shift(age).over("user_id") for age in range(history_length, 0, -1)
    )
    return (
        ordered.with_columns(history_ids=history, position=pl.int_range(pl.len()).over("user_id"))
        .filter(pl.col("position") >= history_length)
        .select("user_id", "history_ids", item.alias("target_id"), "timestamp", "position")
    )


def split_windows(windows: pl.DataFrame) -> pl.DataFrame:
    """Adds `split` by target time: the first 8 of 10 windows `train`, then `valid`, then `test`.

    All users are split at the same moments, so no training target is later than a test target.
    Ties in time are broken by user and position; the row order is kept.
    """
    order = pl.struct("timestamp", "user_id", "position").rank("ordinal").cast(pl.Int64) - 1
    # In integers: the same split on every machine.
    tenth = order * 10 // pl.len()
    split = pl.when(tenth < 8).then(pl.lit("train")).when(tenth < 9).then(pl.lit("valid"))
    return windows.with_columns(split=split.otherwise(pl.lit("test")))
