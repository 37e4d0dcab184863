"""Taste cohorts: users with similar tastes, found by FAISS k-means on user profiles.

A profile is the normalised mean of a user's item vectors. The clusters are fitted to the
interactions before one instant, the last refit, so that a cohort, its history and its assets stay
the same from night to night; tonight's profile decides which cohort a user belongs to. The result
does not depend on the order of rows, on earlier nights or on a clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.config import CohortConfig
from pigeon_rec.retrieval.embeddings import Vectors

__all__ = ["COHORT_PREFIX", "Cohorts", "Profiles", "find_cohorts", "refit_moment", "user_profiles"]

COHORT_PREFIX: Final = "cohort:"
"""Prefix of the user ids that stand for cohorts; reserved, no real user may have it."""

_ITERATIONS: Final = 25
_STARTS: Final = 5  # random initialisations; the best is kept
_FIT_USERS: Final = 2048  # per cohort; a larger sample does not improve k-means
_COHORT_ITEMS: Final = 50  # most popular items that a cohort's histories are retrieved from


@dataclass(frozen=True)
class Profiles:
    """Taste profiles: one unit vector per user.

    Attributes:
        user_ids: Users with at least one usable item, sorted.
        vectors: Unit float32 `[n_users, dim]`.
    """

    user_ids: pl.Series
    vectors: Vectors


@dataclass(frozen=True)
class Cohorts:
    """The cohorts of a night.

    Attributes:
        members: `user_id, cohort`, one row per user with a profile tonight, by user; empty if
            there are too few users for a cohort. Cohorts are named `cohort:0`, `cohort:1`, ...,
            the largest first.
        interactions: Each cohort's most popular items at the refit, as interactions of a user with
            the cohort's name: `user_id, item_id, timestamp`, all with the same timestamp.
    """

    members: pl.DataFrame
    interactions: pl.DataFrame


def user_profiles(
    embeddings: Vectors, interactions: pl.DataFrame, item_ids: Sequence[str]
) -> Profiles:
    """Computes the normalised mean vector of each user's distinct items.

    Args:
        embeddings: Unit float32 `[n_items, dim]`; zero rows do not contribute.
        interactions: Columns `user_id, item_id`; items that are not in `item_ids` are ignored.
        item_ids: Item of each row of `embeddings`, unique.
    """
    rows = pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String()})
    owned = (
        interactions.select("user_id", "item_id")
        .unique()
        .join(rows.with_row_index("row"), on="item_id", how="inner")
        .sort("user_id", "row")
    )
    if owned.is_empty():
        return Profiles(owned["user_id"], np.zeros((0, embeddings.shape[1]), dtype=np.float32))
    users = owned["user_id"].rle_id().to_numpy()
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    sums = np.add.reduceat(embeddings[owned["row"].to_numpy()], starts, axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    has_taste = lengths[:, 0] > 0
    vectors = (sums[has_taste] / lengths[has_taste]).astype(np.float32)
    return Profiles(owned["user_id"].gather(starts).filter(pl.Series(has_taste)), vectors)


def refit_moment(date: dt.date, refit_days: int) -> dt.datetime:
    """Start (UTC) of the last day up to `date` whose ordinal is a multiple of `refit_days`.

    Depends on the date alone, so that a backfill makes the same cohorts as the night itself.
    """
    day = dt.date.fromordinal(max(1, date.toordinal() // refit_days * refit_days))
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def find_cohorts(
    embeddings: Vectors,
    interactions: pl.DataFrame,
    item_ids: Sequence[str],
    config: CohortConfig,
    *,
    refit_at: dt.datetime,
    seed: int,
) -> Cohorts:
    """Groups users by taste.

    Args:
        embeddings: Unit float32 `[n_items, dim]`.
        interactions: All interactions up to tonight: `user_id, item_id, timestamp`.
        item_ids: Item of each row of `embeddings`, unique.
        config: Number of cohorts and their smallest size.
        refit_at: The clusters are fitted to interactions before this instant, or to all of them if
            those have too few users for a cohort.
        seed: Of k-means.
    """
    known = interactions.filter(pl.col("timestamp") < refit_at)
    fitted = user_profiles(embeddings, known, item_ids)
    if len(fitted.vectors) < config.min_users:
        known, fitted = interactions, user_profiles(embeddings, interactions, item_ids)
    centroids = _centroids(fitted.vectors, config, seed)
    if not len(centroids):
        return _no_cohorts(interactions)
    at_refit = _members(fitted, centroids)
    tonight = user_profiles(embeddings, interactions, item_ids)
    return Cohorts(_members(tonight, centroids), _popular_items(known, at_refit, item_ids))


def _centroids(profiles: Vectors, config: CohortConfig, seed: int) -> Vectors:
    """Unit float32 `[n_cohorts, dim]`, the largest cohort first; `[0, dim]` for too few users.

    Clusters with fewer than `min_users` users are dissolved: their users go to the nearest
    remaining cluster. At least one remains: the largest of `n // min_users` clusters has at least
    `min_users` users.
    """
    count = min(config.count, len(profiles) // config.min_users)
    if not count:
        return np.zeros((0, profiles.shape[1]), dtype=np.float32)
    kmeans = faiss.Kmeans(
        profiles.shape[1],
        count,
        niter=_ITERATIONS,
        nredo=_STARTS,
        seed=seed % 2**31,  # FAISS takes a C int
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=_FIT_USERS,
    )
    kmeans.train(np.ascontiguousarray(profiles))
    centroids: Vectors = np.asarray(kmeans.centroids, dtype=np.float32)
    sizes = np.bincount(_nearest(profiles, centroids), minlength=count)
    centroids = centroids[sizes >= config.min_users]
    nearest = _nearest(profiles, centroids)
    sizes = np.bincount(nearest, minlength=len(centroids))
    first = np.array([np.argmax(nearest == n) for n in range(len(centroids))])
    ordered: Vectors = centroids[np.lexsort((first, -sizes))]
    return ordered


def _nearest(profiles: Vectors, centroids: Vectors) -> npt.NDArray[np.int64]:
    index = faiss.IndexFlatIP(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids))
    found: npt.NDArray[np.int64] = index.search(np.ascontiguousarray(profiles), 1)[1][:, 0]
    return found


def _members(profiles: Profiles, centroids: Vectors) -> pl.DataFrame:
    names = pl.Series([f"{COHORT_PREFIX}{n}" for n in range(len(centroids))], dtype=pl.String())
    nearest = names.gather(_nearest(profiles.vectors, centroids))
    return pl.DataFrame([profiles.user_ids.alias("user_id"), nearest.alias("cohort")])


def _popular_items(
    known: pl.DataFrame, members: pl.DataFrame, item_ids: Sequence[str]
) -> pl.DataFrame:
    usable = pl.Series(item_ids, dtype=pl.String())
    popular = (
        known.select("user_id", "item_id")
        .unique()
        .filter(pl.col("item_id").is_in(usable.implode()))
        .join(members, on="user_id", how="inner")
        .group_by("cohort", "item_id")
        .len()
        .sort("cohort", "len", "item_id", descending=[False, True, False])
        .group_by("cohort", maintain_order=True)
        .head(_COHORT_ITEMS)
    )
    return popular.select(
        pl.col("cohort").alias("user_id"),
        "item_id",
        pl.lit(known["timestamp"].max()).cast(known.schema["timestamp"]).alias("timestamp"),
    )


def _no_cohorts(interactions: pl.DataFrame) -> Cohorts:
    members = pl.DataFrame(schema={"user_id": pl.String(), "cohort": pl.String()})
    return Cohorts(members, interactions.clear().select("user_id", "item_id", "timestamp"))
