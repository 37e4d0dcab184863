"""Taste cohorts: users whose histories look alike, found by FAISS k-means on their profiles.

A profile is the mean direction of a user's items. Clusters are made on what was known at one moment
(the last refit), so that a cohort, its history and its pictures stay the same from night to night;
tonight's profile then decides which cohort a user belongs to. Nothing here depends on the order of
rows, on earlier nights or on a clock.
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
"""Cohorts are users of this kind of name; no real user may have one."""

_ITERATIONS: Final = 25
_STARTS: Final = 5  # the best of so many counts: one start may end in a poor optimum
_FIT_USERS: Final = 2048  # per cohort; k-means learns no more from a larger sample
_SHELF: Final = 50  # items a cohort chooses its histories from


@dataclass(frozen=True)
class Profiles:
    """What users like, as directions.

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
        shelves: The items that most of a cohort's users had at the refit, as interactions of a user
            with the cohort's name: `user_id, item_id, timestamp`, all at the same time.
    """

    members: pl.DataFrame
    shelves: pl.DataFrame


def user_profiles(
    embeddings: Vectors, interactions: pl.DataFrame, item_ids: Sequence[str]
) -> Profiles:
    """The normalised mean of the vectors of each user's different items.

    Args:
        embeddings: Unit float32 `[n_items, dim]`; a zero row has no say.
        interactions: Columns `user_id, item_id`; items without a row in `item_ids` are left out.
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
    """Start (UTC) of the newest day up to `date` whose number is a multiple of `refit_days`.

    It depends on the date alone: a backfill makes the cohorts that the night itself made.
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
        interactions: All that is known tonight: `user_id, item_id, timestamp`.
        item_ids: Item of each row of `embeddings`, unique.
        config: How many cohorts, and how large.
        refit_at: Interactions before this instant decide what the cohorts are; where they make no
            cohort, those of tonight do.
        seed: Of k-means.
    """
    known = interactions.filter(pl.col("timestamp") < refit_at)
    fitted = user_profiles(embeddings, known, item_ids)
    if len(fitted.vectors) < config.min_users:
        known, fitted = interactions, user_profiles(embeddings, interactions, item_ids)
    centroids = _centroids(fitted.vectors, config, seed)
    if not len(centroids):
        return Cohorts(*_nobody(interactions))
    at_refit = _members(fitted, centroids)
    tonight = user_profiles(embeddings, interactions, item_ids)
    return Cohorts(_members(tonight, centroids), _shelves(known, at_refit, item_ids))


def _centroids(profiles: Vectors, config: CohortConfig, seed: int) -> Vectors:
    """Unit float32 `[n_cohorts, dim]`, the largest cohort first; `[0, dim]` for too few users.

    Clusters with fewer than `min_users` users, empty ones among them, are dissolved: their users go
    to the nearest cluster that stays. There is always one: the largest of `n // min_users` has at
    least `min_users`.
    """
    count = min(config.count, len(profiles) // config.min_users)
    if not count:
        return np.zeros((0, profiles.shape[1]), dtype=np.float32)
    kmeans = faiss.Kmeans(
        profiles.shape[1],
        count,
        niter=_ITERATIONS,
        nredo=_STARTS,
        seed=seed % 2**31,  # a C int there
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


def _shelves(known: pl.DataFrame, members: pl.DataFrame, item_ids: Sequence[str]) -> pl.DataFrame:
    usable = pl.Series(item_ids, dtype=pl.String())
    shelves = (
        known.select("user_id", "item_id")
        .unique()
        .filter(pl.col("item_id").is_in(usable.implode()))
        .join(members, on="user_id", how="inner")
        .group_by("cohort", "item_id")
        .len()
        .sort("cohort", "len", "item_id", descending=[False, True, False])
        .group_by("cohort", maintain_order=True)
        .head(_SHELF)
    )
    return shelves.select(
        pl.col("cohort").alias("user_id"),
        "item_id",
        pl.lit(known["timestamp"].max()).cast(known.schema["timestamp"]).alias("timestamp"),
    )


def _nobody(interactions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    members = pl.DataFrame(schema={"user_id": pl.String(), "cohort": pl.String()})
    return members, interactions.clear().select("user_id", "item_id", "timestamp")
