"""For each (user, reference item): which of the user's own items are its best history.

One FAISS inner-product index holds every interaction, and every user is one of its inverted
lists; assigning each query to the list of its user restricts the search to that user's items,
for the whole batch in one call. A stored vector is `[item, worth]` and a query
`[relevance_weight * reference, 1]`, so that their inner product is the score

    relevance_weight * cosine(item, reference) + worth,
    worth = recency_weight * 0.5 ** (age / half_life) + taste_weight * cosine(item, user's mean).

Ages count back from the user's newest interaction, not from the night: as long as a user does
nothing, nothing about that user's history changes, and yesterday's pictures stay valid.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TypeAlias

import faiss
import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.config import RetrievalConfig
from pigeon_rec.errors import RetrievalError
from pigeon_rec.retrieval.embeddings import Vectors

__all__ = ["HistoryRetriever"]

Codes: TypeAlias = npt.NDArray[np.int64]

_ADD_ROWS = 1 << 18  # bounds the copy of vectors held while the index is filled
_QUERY_ROWS = 1 << 14  # bounds the gathered history vectors of one batch of pairs


class HistoryRetriever:
    """Finds, among a user's own interactions, those that go with a reference item.

    Args:
        embeddings: Unit item vectors, float32 `[n_items, dim]`.
        interactions: Columns `user_id, item_id, timestamp`; of repeated ones the latest counts.
        item_ids: Item of each embedding row, unique.
        config: History length and the weights of the score.
        as_of: Interactions at or after this instant are not known yet and left out.

    Raises:
        RetrievalError: Embeddings, ids and interactions do not fit together.
    """

    def __init__(
        self,
        embeddings: Vectors,
        interactions: pl.DataFrame,
        item_ids: Sequence[str],
        config: RetrievalConfig,
        as_of: datetime.datetime,
    ) -> None:
        _check(embeddings, item_ids)
        self._config = config
        self._embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
        self._item_ids = pl.Series("item_id", item_ids, dtype=pl.String())
        self._item_codes = pl.DataFrame({"item_id": self._item_ids}).with_row_index("item")
        latest = _latest(interactions, as_of)
        self._users = latest.select(pl.col("user_id").unique().sort()).with_row_index("user")
        # Row order (user, item id) is also the order in which ties are decided.
        self._rows: Codes = _codes_of(latest["item_id"], self._item_codes, "interactions")
        owners = latest.join(self._users, on="user_id", how="left", maintain_order="left")
        users = owners["user"].cast(pl.Int64()).to_numpy()
        worth = np.float32(config.recency_weight) * _decay(latest, config.half_life_days)
        if config.taste_weight:
            taste = _typicality(self._embeddings[self._rows], users)
            worth = worth + np.float32(config.taste_weight) * taste
        self._index = self._build(users, worth)

    def retrieve(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """The history of each pair, best first; the reference itself is never part of it.

        Args:
            pairs: Columns `user_id, item_id`, the item being the reference.

        Returns:
            `user_id, item_id, history_ids list[str], history_scores list[f32],
            history_similarity list[f32]` in the order of `pairs`, the similarity being the
            cosine with the reference. A user with fewer other items than `history_length` gets
            those there are. Equal scores stand in the order of their item ids.

        Raises:
            RetrievalError: A reference has no embedding row.
        """
        keys = pairs.select("user_id", "item_id")
        references = _codes_of(keys["item_id"], self._item_codes, "pairs")
        owners = keys.join(self._users, on="user_id", how="left", maintain_order="left")
        users = owners["user"].cast(pl.Int64()).fill_null(-1).to_numpy()
        parts = [
            self._search(users[start : start + _QUERY_ROWS], references[start:][:_QUERY_ROWS])
            for start in range(0, keys.height, _QUERY_ROWS)
        ] or [self._search(users, references)]
        return pl.concat([keys, pl.concat(parts)], how="horizontal")

    def _build(self, users: Codes, worth: Vectors) -> faiss.IndexIVFFlat:
        dim = self._embeddings.shape[1] + 1
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(dim), dim, max(1, self._users.height), faiss.METRIC_INNER_PRODUCT
        )
        # Lists are assigned by user, never by nearest centroid: there is nothing to train.
        index.is_trained = True
        # FAISS lets the higher id win a tie, so ids count down along the row order.
        ids = np.arange(len(users))[::-1].astype(np.int64)
        for start in range(0, len(users), _ADD_ROWS):
            part = slice(start, start + _ADD_ROWS)
            vectors = np.column_stack([self._embeddings[self._rows[part]], worth[part]])
            _add(index, vectors, ids[part], users[part])
        return index

    def _search(self, users: Codes, references: Codes) -> pl.DataFrame:
        config = self._config
        wanted = config.history_length
        anchors = self._embeddings[references]  # [pairs, dim]
        queries = np.column_stack(
            [
                anchors * np.float32(config.relevance_weight),
                np.ones(len(users), dtype=np.float32),
            ]
        )
        # One more than wanted, because the reference may be among the user's items.
        scores, found = self._index.search_preassigned(queries, wanted + 1, users[:, None], None)
        rows = np.where(found >= 0, len(self._rows) - 1 - found, -1)
        items = self._rows[rows] if len(self._rows) else np.zeros_like(rows)
        usable = (rows >= 0) & (items != references[:, None])
        order = _best_first(np.where(usable, scores, -np.inf), rows)[:, :wanted]
        items = np.take_along_axis(items, order, axis=1)  # [pairs, wanted]
        similarity = np.einsum("nkd,nd->nk", self._embeddings[items], anchors)
        counts = np.minimum(usable.sum(axis=1), wanted)
        return _as_lists(
            self._item_ids.gather(items.reshape(-1)).reshape(items.shape),
            np.take_along_axis(scores, order, axis=1),
            similarity,
            counts,
        )


def _check(embeddings: Vectors, item_ids: Sequence[str]) -> None:
    if embeddings.ndim != 2 or len(embeddings) != len(item_ids):
        raise RetrievalError(
            f"embeddings of shape {embeddings.shape} do not fit {len(item_ids)} item ids",
            remedy="Give one row per item",
        )
    if not np.isfinite(embeddings).all():
        row = int(np.flatnonzero(~np.isfinite(embeddings).all(axis=1))[0])
        raise RetrievalError("an embedding is not finite", where=f"item {item_ids[row]}")
    if len(set(item_ids)) != len(item_ids):
        raise RetrievalError("item ids of the embeddings are not unique")


def _latest(interactions: pl.DataFrame, as_of: datetime.datetime) -> pl.DataFrame:
    return (
        interactions.filter(pl.col("timestamp") < as_of)
        .group_by("user_id", "item_id")
        .agg(pl.col("timestamp").max())
        .sort("user_id", "item_id")
    )


def _decay(latest: pl.DataFrame, half_life_days: float) -> Vectors:
    newest = pl.col("timestamp").max().over("user_id")
    days = (newest - pl.col("timestamp")).dt.total_microseconds() / (24 * 3600 * 1e6)
    age: npt.NDArray[np.float64] = latest.select(days).to_series().to_numpy()
    return np.power(0.5, age / half_life_days).astype(np.float32)


def _typicality(vectors: Vectors, users: Codes) -> Vectors:
    """Cosine of each item `[n, dim]` with the mean of its user's items; rows sorted by user."""
    if not len(users):
        return np.zeros(0, dtype=np.float32)
    _, starts, inverse = np.unique(users, return_index=True, return_inverse=True)
    sums = np.add.reduceat(vectors, starts, axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    profiles = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)
    cosine: Vectors = np.einsum("nd,nd->n", vectors, profiles[inverse]).astype(np.float32)
    return cosine


def _codes_of(ids: pl.Series, known: pl.DataFrame, where: str) -> Codes:
    asked = pl.DataFrame({"item_id": ids}, schema={"item_id": pl.String()})
    found = asked.join(known, on="item_id", how="left", maintain_order="left")
    if found["item"].null_count():
        unknown = found.filter(pl.col("item").is_null())["item_id"].unique().sort()
        raise RetrievalError(
            f"{len(unknown)} item ids have no embedding, among them {unknown[:3].to_list()}",
            where=where,
            remedy="Leave unknown items out before retrieval",
        )
    return found["item"].cast(pl.Int64()).to_numpy()


def _add(index: faiss.IndexIVFFlat, vectors: Vectors, ids: Codes, lists: Codes) -> None:
    # `add_core` has no numpy wrapper; the arrays must stay alive and contiguous until it returns.
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    ids, lists = np.ascontiguousarray(ids), np.ascontiguousarray(lists)
    index.add_core(
        len(vectors), faiss.swig_ptr(vectors), faiss.swig_ptr(ids), faiss.swig_ptr(lists)
    )


def _best_first(scores: Vectors, rows: Codes) -> Codes:
    """Column order of each row by falling score, then by row number, int64 `[n, k]`."""
    by_row = np.argsort(rows, axis=1, kind="stable")
    by_score = np.argsort(-np.take_along_axis(scores, by_row, axis=1), axis=1, kind="stable")
    return np.take_along_axis(by_row, by_score, axis=1)


def _as_lists(ids: pl.Series, scores: Vectors, similarity: Vectors, counts: Codes) -> pl.DataFrame:
    """Cuts each row of three `[n, k]` blocks to its own count."""
    width = scores.shape[1]
    blocks = {
        "history_ids": ids,
        "history_scores": pl.Series(scores.astype(np.float32)),
        "history_similarity": pl.Series(similarity.astype(np.float32)),
    }
    inner = {"history_ids": pl.String()}
    if not len(scores):
        return pl.DataFrame(
            schema={name: pl.List(inner.get(name, pl.Float32())) for name in blocks}
        )
    frame = pl.DataFrame(
        blocks, schema={name: pl.Array(inner.get(name, pl.Float32()), width) for name in blocks}
    ).with_columns(pl.Series("count", counts))
    return frame.select(pl.col(name).arr.to_list().list.head(pl.col("count")) for name in blocks)
