"""Recommendations for the night from a trained wrapper: every user's best items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from recbole.data.interaction import Interaction

from pigeon_rec.recbole_plugin.histories import Histories, interactions_of
from pigeon_rec.recbole_plugin.run import load_pigeon, no_command_line
from pigeon_rec.recbole_plugin.top_k import TOP_K_SCHEMA, best_columns

__all__ = ["export_model_top_k", "model_top_k"]

_CELLS: Final = 1 << 23  # scores held at once: 32 MB


def export_model_top_k(checkpoint: Path, out: Path, k: int) -> pl.DataFrame:
    """Writes the best items of every user of a saved wrapper, the nightly plan's recommendations.

    Args:
        checkpoint: What a run of the wrapper has saved.
        out: Parquet file of `user_id, item_id, score f32, rank i32`.
        k: Items per user.

    Raises:
        ModelError: The checkpoint cannot be read.
    """
    with no_command_line():
        model, dataset, _ = load_pigeon(checkpoint)
    top = model_top_k(model, dataset, k)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    top.write_parquet(temporary)
    temporary.replace(out)
    return top


@torch.no_grad()
def model_top_k(model: Any, dataset: Any, k: int) -> pl.DataFrame:
    """The best items of every user, what they have interacted with left out.

    Args:
        model: A trained wrapper.
        dataset: RecBole's whole data set, split or not; sequential bases see its newest items.
        k: Items per user; who has seen nearly all gets fewer.

    Returns:
        `user_id, item_id, score f32, rank i32`, by user token and rank.
    """
    model.eval()
    seen = interactions_of(dataset)
    histories = Histories.of(dataset, dataset.config["MAX_ITEM_LIST_LENGTH"])
    users = torch.nonzero(histories.lengths).squeeze(-1)
    parts = [
        _rows(scores.cpu().numpy(), batch, seen, dataset, k)
        for batch, scores in _scores(model, dataset, histories, users)
    ]
    return pl.concat([pl.DataFrame(schema=TOP_K_SCHEMA), *parts]).sort("user_id", "rank")


def _scores(
    model: Any, dataset: Any, histories: Histories, users: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for batch in users.split(max(1, _CELLS // dataset.item_num)):
        columns = {dataset.uid_field: batch}
        if model.sequential:
            columns[model.ITEM_SEQ] = histories.items[batch]
            columns[model.ITEM_SEQ_LEN] = histories.lengths[batch]
        interaction = Interaction(columns).to(model.device)
        yield batch, model.full_sort_predict(interaction).view(len(batch), dataset.item_num)


def _rows(
    scores: Any, users: torch.Tensor, seen: pl.DataFrame, dataset: Any, k: int
) -> pl.DataFrame:
    place = {user: row for row, user in enumerate(users.tolist())}
    known = seen.filter(pl.col("user").is_in(list(place)))
    scores[known["user"].replace_strict(place).to_numpy(), known["item"].to_numpy()] = -np.inf
    scores[:, 0] = -np.inf  # padding
    items, best = best_columns(scores, k)
    width = items.shape[1]
    frame = pl.DataFrame(
        {
            "user_id": dataset.id2token(dataset.uid_field, np.repeat(users.numpy(), width)),
            "item_id": dataset.id2token(dataset.iid_field, items.ravel()),
            "score": best.ravel(),
            "rank": np.tile(np.arange(1, width + 1), len(users)),
        },
        schema_overrides=TOP_K_SCHEMA,
    )
    return frame.filter(pl.col("score").is_finite())
