"""Item embeddings and the retrieval of each user's own history for a reference item."""

from __future__ import annotations

from pigeon_rec.retrieval.embeddings import EmbeddingCache, Encode, embed_catalogue
from pigeon_rec.retrieval.history import HistoryRetriever

__all__ = ["EmbeddingCache", "Encode", "HistoryRetriever", "embed_catalogue"]
