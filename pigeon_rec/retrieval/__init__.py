"""Item embeddings, retrieval of a user's history for a reference item, and taste cohorts."""

from __future__ import annotations

from pigeon_rec.retrieval.cohorts import (
    COHORT_PREFIX,
    Cohorts,
    fit_cohorts,
    popular_items,
    refit_moment,
    sample_users,
)
from pigeon_rec.retrieval.embeddings import EmbeddingCache, Encode, embed_catalogue
from pigeon_rec.retrieval.history import HistoryRetriever
from pigeon_rec.retrieval.items import ImageEncoder, ItemEmbeddings, embed_items
from pigeon_rec.retrieval.pictures import SharedPictures, shared_pictures

__all__ = [
    "COHORT_PREFIX",
    "Cohorts",
    "EmbeddingCache",
    "Encode",
    "HistoryRetriever",
    "ImageEncoder",
    "ItemEmbeddings",
    "SharedPictures",
    "embed_catalogue",
    "embed_items",
    "fit_cohorts",
    "popular_items",
    "refit_moment",
    "sample_users",
    "shared_pictures",
]
