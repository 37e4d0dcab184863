"""Recommendations for the night from a saved wrapper: every user's top-K items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from recbole.data.interaction import Interaction

from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.recbole_plugin.histories import Histories, interactions_of
from pigeon_rec.recbole_plugin.run import load_pigeon
from pigeon_rec.recbole_plugin.sandbox import no_command_line
from pigeon_rec.recbole_plugin.top_k import tokens_of, top_k_rows
from pigeon_rec.runtime.files import write_parquet

__all__ = ["checkpoint_top_k", "export_model_top_k"]

_CELLS: Final = 1 << 23  # scores held at once: 32 MB


def export_model_top_k(checkpoint: Path, out: Path, k: int) -> pl.DataFrame:
    """Writes `checkpoint_top_k` as parquet, for the night's `recommendations`; returns it."""
    top = checkpoint_top_k(checkpoint, k)
    write_parquet(top, out)
    return top


@torch.no_grad()
def checkpoint_top_k(checkpoint: Path, k: int) -> pl.DataFrame:
    """Returns the top-K items of every user of a saved wrapper, without items already seen.

    Args:
        checkpoint: Saved by a run of the wrapper; its data set must still be at the same path.
        k: Items per user; fewer for a user who has seen nearly all items.

    Returns:
        `user_id, item_id, score f32, rank i32`, by user token and rank.

    Raises:
        ModelError: The checkpoint cannot be read.
    """
    with no_command_line():
        model, dataset, _ = load_pigeon(checkpoint)
    seen = interactions_of(dataset)
    # Sequential bases take the newest items as their input sequence.
    histories = Histories.of(dataset, dataset.config["MAX_ITEM_LIST_LENGTH"])
    users = torch.nonzero(histories.lengths).squeeze(-1)
    item_ids = tokens_of(dataset, dataset.iid_field, np.arange(dataset.item_num))
    parts = [pl.DataFrame(schema=RECOMMENDATION_SCHEMA)]
    for batch, scores in _score_batches(model, dataset, histories, users):
        row_of = {user: row for row, user in enumerate(batch.tolist())}
        known = seen.filter(pl.col("user").is_in(list(row_of)))
        scores[known["user"].replace_strict(row_of).to_numpy(), known["item"].to_numpy()] = -np.inf
        scores[:, 0] = -np.inf  # padding
        user_ids = tokens_of(dataset, dataset.uid_field, batch.numpy())
        parts.append(top_k_rows(user_ids, item_ids, scores, k))
    return pl.concat(parts).sort("user_id", "rank")


def _score_batches(
    model: Any, dataset: Any, histories: Histories, users: torch.Tensor
) -> Iterator[tuple[torch.Tensor, Any]]:
    """Yields users and their scores as an array, float32 `[users, n_items]`."""
    for batch in users.split(max(1, _CELLS // dataset.item_num)):
        columns = {dataset.uid_field: batch}
        if model.sequential:
            columns[model.ITEM_SEQ] = histories.items[batch]
            columns[model.ITEM_SEQ_LEN] = histories.lengths[batch]
        scores = model.full_sort_predict(Interaction(columns).to(model.device))
        yield batch, scores.view(len(batch), dataset.item_num).cpu().numpy()
