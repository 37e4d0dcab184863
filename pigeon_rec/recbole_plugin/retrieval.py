"""History retrieval for the users of a RecBole data set, as the night does it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl

from pigeon_rec.config import RetrievalConfig
from pigeon_rec.errors import RetrievalError
from pigeon_rec.recbole_plugin.affinity import VisualAffinity
from pigeon_rec.recbole_plugin.histories import interactions_of, timestamps_of
from pigeon_rec.retrieval import HistoryRetriever

__all__ = ["TrainingHistoryRetriever"]


class TrainingHistoryRetriever:
    """Applies `pigeon_rec.retrieval.HistoryRetriever` to a RecBole training set.

    Args:
        dataset: RecBole's training set.
        affinity: Holder of the item vectors; `None` if the data set has none.
    """

    def __init__(self, dataset: Any, affinity: VisualAffinity | None) -> None:
        self._vectors = None if affinity is None else affinity.vectors.cpu().numpy()
        self._users = dataset.field2token_id[dataset.uid_field]
        self._items = dataset.field2token_id[dataset.iid_field]
        self._tokens = dataset.field2id_token[dataset.iid_field]
        self._user_tokens = dataset.field2id_token[dataset.uid_field]
        self._dataset = dataset
        self._retriever: tuple[int, HistoryRetriever] | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy of the model rebuilds the retriever on demand.
        return {**self.__dict__, "_retriever": None}

    def retrieve(self, user: str, reference: str, k: int) -> pl.DataFrame:
        """Returns `item_id, score, similarity` of the user's history, best first.

        Raises:
            RetrievalError: The user or the item is unknown, or there are no item vectors.
        """
        for token, known, kind in ((user, self._users, "user"), (reference, self._items, "item")):
            if token not in known or token == "[PAD]":
                raise RetrievalError(
                    f"the data set has no {kind} {token!r}",
                    location=f"{kind}_id",
                    remedy="Give the token of the .inter file; filters may have left it out",
                )
        pair = pl.DataFrame({"user_id": [user], "item_id": [reference]})
        found = self._of_length(k).retrieve(pair)
        return (
            found.select(
                pl.col("history_ids").alias("item_id"),
                pl.col("history_scores").alias("score"),
                pl.col("history_similarity").alias("similarity"),
            )
            .explode("item_id", "score", "similarity")
            .drop_nulls("item_id")
        )

    def _of_length(self, k: int) -> HistoryRetriever:
        if self._retriever is None or self._retriever[0] != k:
            self._retriever = (k, self._build(k))
        return self._retriever[1]

    def _build(self, k: int) -> HistoryRetriever:
        if self._vectors is None:
            raise RetrievalError(
                "there are no item vectors",
                location="pigeon_features",
                remedy="Write them with `pigeon-rec recbole features`",
            )
        rows = interactions_of(self._dataset)
        interactions = rows.select(
            pl.Series("user_id", np.asarray(self._user_tokens)[rows["user"]], pl.String()),
            pl.Series("item_id", np.asarray(self._tokens)[rows["item"]], pl.String()),
            timestamps_of(rows).alias("timestamp"),
        )
        never = dt.datetime.max.replace(tzinfo=dt.UTC)
        config = RetrievalConfig(history_length=k)
        return HistoryRetriever(self._vectors, interactions, list(self._tokens), config, never)
