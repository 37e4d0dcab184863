"""History retrieval: the items of a user's own interactions that best match a reference item.

The score of an interacted item for one reference is

    relevance_weight * cosine(item, reference)
    + taste_weight * cosine(item, user's mean)
    + recency_weight * 0.5 ** (age / half_life).

The first two terms are one inner product, of the item with `relevance_weight * reference +
taste_weight * user's mean`. FAISS computes it for a batch of pairs, over the rows of each user's
own items, in the embeddings themselves. No vector is copied: retrieval from a million items needs
little more memory than their vectors.

Ages count back from the user's newest interaction, not from the night: the history of an inactive
user does not change from night to night, so the assets made from it stay valid.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.sparse import csr_array  # type: ignore[import-untyped]

from pigeon_rec.config import RetrievalConfig
from pigeon_rec.retrieval._inner_products import inner_products
from pigeon_rec.retrieval._user_items import Codes, check_embeddings, codes_of, group_by_user
from pigeon_rec.retrieval.embeddings import Vectors

__all__ = ["HistoryRetriever"]

_CELLS = 1 << 18  # (pair, own item) scores computed at once
_NO_ITEM = -1


class HistoryRetriever:
    """Retrieves, from a user's own interactions, the items that best match a reference item.

    Args:
        embeddings: Unit item vectors, float32 `[n_items, dim]`; used in place, not copied.
        interactions: Columns `user_id, item_id, timestamp`; of repeated ones the latest counts.
        item_ids: Item of each embedding row, unique.
        config: History length and the weights of the score.
        as_of: Interactions at or after this instant are ignored.

    Raises:
        RetrievalError: Embeddings, ids and interactions do not match.
    """

    def __init__(
        self,
        embeddings: Vectors,
        interactions: pl.DataFrame,
        item_ids: Sequence[str] | pl.Series,
        config: RetrievalConfig,
        as_of: datetime.datetime,
    ) -> None:
        self._item_ids = pl.Series("item_id", item_ids, dtype=pl.String())
        check_embeddings(embeddings, self._item_ids)
        self._config = config
        self._embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
        known = interactions.filter(pl.col("timestamp") < as_of)
        self._user_items = group_by_user(known, self._item_ids, config.half_life_days)

    def retrieve(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Returns the history of each pair, best first; it never contains the reference itself.

        Args:
            pairs: Columns `user_id, item_id`; the item is the reference.

        Returns:
            `user_id, item_id, history_ids list[str], history_scores list[f32],
            history_similarity list[f32]` in the order of `pairs`; the similarity is the cosine
            with the reference. A history has at most `history_length` items. Ties are broken by
            item id.

        Raises:
            RetrievalError: A reference has no embedding row.
        """
        keys = pairs.select("user_id", "item_id")
        references = codes_of(keys["item_id"], self._item_ids, "pairs")
        users = self._user_items.user_codes(keys["user_id"])
        most = int(self._user_items.sizes(users).max(initial=1))
        shape = (keys.height, min(self._config.history_length, most))
        found = np.full(shape, _NO_ITEM, dtype=np.int32)
        scores, similarity = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for part in self._batches(users):
            best, *values = self._best(users[part], references[part])
            width = best.shape[1]
            found[part, :width] = best
            scores[part, :width], similarity[part, :width] = values
        return pl.concat(
            [keys, _as_lists(self._item_ids, found, scores, similarity)], how="horizontal"
        )

    def _batches(self, users: Codes) -> Iterator[Codes]:
        """Yields row numbers of pairs to score together: similar lengths, so little padding."""
        sizes = np.maximum(self._user_items.sizes(users), 1)
        order = np.argsort(sizes, kind="stable")
        start = 0
        while start < len(order):
            # Pairs are padded to the last of the batch, which has the most items.
            widths = sizes[order[start : start + _CELLS]]
            fits = widths * np.arange(1, len(widths) + 1) <= _CELLS
            count = max(1, int(np.argmin(fits)) if not fits.all() else len(widths))
            yield order[start : start + count]
            start += count

    def _best(self, users: Codes, references: Codes) -> tuple[Codes, Vectors, Vectors]:
        """Item rows (-1: none), scores and cosines of the best own items, each `[pairs, k]`."""
        items, recency = self._user_items.padded(users)  # [pairs, longest]
        anchors = self._embeddings[references]  # [pairs, dim]
        queries = anchors * np.float32(self._config.relevance_weight)
        if self._config.taste_weight:
            queries += np.float32(self._config.taste_weight) * self._tastes(users)
        scores = inner_products(queries, self._embeddings, items)
        scores += np.float32(self._config.recency_weight) * recency
        scores[(items < 0) | (items == references[:, None])] = -np.inf
        # Items are sorted by id, so a stable sort breaks ties by id.
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self._config.history_length]
        chosen = np.take_along_axis(scores, best, axis=1)
        rows = np.where(np.isfinite(chosen), np.take_along_axis(items, best, axis=1), _NO_ITEM)
        return rows, chosen, inner_products(anchors, self._embeddings, rows)

    def _tastes(self, users: Codes) -> Vectors:
        """Unit mean of each user's items, float32 `[users, dim]`; zero for a user without items."""
        distinct, inverse = np.unique(users, return_inverse=True)
        sizes = self._user_items.sizes(distinct)
        ends = np.cumsum(sizes)
        rows = np.repeat(self._user_items.starts[distinct] - ends + sizes, sizes)
        rows += np.arange(sizes.sum())
        interacted = csr_array(
            (np.ones(len(rows), np.float32), self._user_items.items[rows], np.append(0, ends)),
            shape=(len(distinct), len(self._embeddings)),
        )
        sums: Vectors = interacted @ self._embeddings
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        np.divide(sums, lengths, out=sums, where=lengths > 0)
        tastes: Vectors = sums[inverse]
        return tastes


def _as_lists(
    ids: pl.Series, items: npt.NDArray[np.int32], scores: Vectors, similarity: Vectors
) -> pl.DataFrame:
    """Turns three `[n, k]` blocks into list columns, without the padding."""
    width = items.shape[1]
    names = ("history_ids", "history_scores", "history_similarity")
    if not len(items):
        kinds = (pl.String(), pl.Float32(), pl.Float32())
        schema = {name: pl.List(kind) for name, kind in zip(names, kinds, strict=True)}
        return pl.DataFrame(schema=schema)
    rows = pl.Series(items.reshape(-1))
    flat = pl.DataFrame(
        {
            "history_ids": ids.gather(rows.replace(_NO_ITEM, None)),
            "history_scores": scores.reshape(-1),
            "history_similarity": similarity.reshape(-1),
        }
    )
    counts = pl.Series("count", (items >= 0).sum(axis=1))
    blocks = flat.select(pl.col(name).reshape((len(items), width)) for name in names)
    return blocks.with_columns(counts).select(
        pl.col(name).arr.to_list().list.head(pl.col("count")) for name in names
    )
