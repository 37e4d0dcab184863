"""Taste cohorts: users with similar tastes, found by FAISS k-means on user profiles.

A profile is the normalised mean of a user's item vectors. The clusters are fitted to the
interactions before one instant, the last refit, so that a cohort, its history and its assets stay
the same from night to night; tonight's profile decides which cohort a user belongs to. Of many
users, a sample by the hash of their ids is fitted to. The result does not depend on the order of
rows, on how users are divided into parts, on earlier nights or on a clock.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.config import CohortConfig
from pigeon_rec.retrieval._inner_products import inner_products
from pigeon_rec.retrieval._user_items import whole_groups
from pigeon_rec.retrieval.embeddings import Vectors
from pigeon_rec.runtime.digests import id_hashes

__all__ = [
    "COHORT_PREFIX",
    "Cohorts",
    "Profiles",
    "fit_cohorts",
    "popular_items",
    "refit_moment",
    "sample_users",
    "user_profiles",
]

COHORT_PREFIX: Final = "cohort:"
"""Prefix of the user ids that stand for cohorts; reserved, no real user may have it."""

_ITERATIONS: Final = 25
_STARTS: Final = 5  # random initialisations; the best is kept
_FIT_USERS: Final = 2048  # per cohort; a larger sample does not improve k-means
_FIT_SIZES: Final = 10  # a cohort's smallest sizes that its share of the sample has at least
_MOST_FIT_USERS: Final = 1 << 18  # of all cohorts; more would only take memory
_COHORT_ITEMS: Final = 50  # most popular items that a cohort's histories are retrieved from
_ROWS: Final = 1 << 16  # item vectors gathered at once


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
    """The cohorts of a night, before it is known who belongs to them.

    Users are assigned one by one, so they may be assigned in parts.

    Attributes:
        centroids: Unit float32 `[n_cohorts, dim]`, the largest cohort first: `cohort:0`. Empty if
            there are too few users for a cohort.
        known_before: The cohorts were fitted to interactions before this instant; `None`: to all.
    """

    centroids: Vectors
    known_before: dt.datetime | None

    def members(
        self, embeddings: Vectors, interactions: pl.DataFrame, item_ids: Sequence[str]
    ) -> pl.DataFrame:
        """Returns `user_id, cohort` of each user with a profile, by user; none without cohorts.

        Args:
            embeddings: Unit float32 `[n_items, dim]`.
            interactions: Of some users, up to tonight: `user_id, item_id, timestamp`.
            item_ids: Item of each row of `embeddings`, unique.
        """
        members = pl.DataFrame(schema={"user_id": pl.String(), "cohort": pl.String()})
        if not len(self.centroids):
            return members
        names = pl.Series([f"{COHORT_PREFIX}{n}" for n in range(len(self.centroids))])
        found = [
            pl.DataFrame(
                {
                    "user_id": profiles.user_ids,
                    "cohort": names.gather(_nearest(profiles.vectors, self.centroids)),
                }
            )
            for profiles in _profiles(embeddings, interactions, item_ids)
        ]
        return pl.concat([members, *found])

    def known(self, interactions: pl.DataFrame) -> pl.DataFrame:
        """Returns the interactions that the cohorts were fitted to."""
        if self.known_before is None:
            return interactions
        return interactions.filter(pl.col("timestamp") < self.known_before)

    def item_users(
        self, embeddings: Vectors, interactions: pl.DataFrame, item_ids: Sequence[str]
    ) -> pl.DataFrame:
        """Counts the users of each item in each cohort at the refit: `cohort, item_id, users`.

        Counts of parts of the users can be added up. Arguments are those of `members`.
        """
        known = self.known(interactions)
        usable = pl.Series(item_ids, dtype=pl.String())
        return (
            known.select("user_id", "item_id")
            .unique()
            .filter(pl.col("item_id").is_in(usable.implode()))
            .join(self.members(embeddings, known, item_ids), on="user_id", how="inner")
            .group_by("cohort", "item_id")
            .agg(pl.len().cast(pl.Int64()).alias("users"))
        )


def user_profiles(
    embeddings: Vectors, interactions: pl.DataFrame, item_ids: Sequence[str]
) -> Profiles:
    """Computes the normalised mean vector of each user's distinct items.

    Args:
        embeddings: Unit float32 `[n_items, dim]`; zero rows do not contribute.
        interactions: Columns `user_id, item_id`; items that are not in `item_ids` are ignored.
        item_ids: Item of each row of `embeddings`, unique.
    """
    parts = list(_profiles(embeddings, interactions, item_ids))
    none = Profiles(
        pl.Series("user_id", [], pl.String()), np.zeros((0, embeddings.shape[1]), dtype=np.float32)
    )
    return Profiles(
        pl.concat([none.user_ids, *(part.user_ids for part in parts)]),
        np.concatenate([none.vectors, *(part.vectors for part in parts)]),
    )


def _profiles(
    embeddings: Vectors, interactions: pl.DataFrame, item_ids: Sequence[str]
) -> Iterator[Profiles]:
    """Yields the profiles of a few users at a time: all item vectors would take gigabytes."""
    rows = pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String()})
    owned = (
        interactions.select("user_id", "item_id")
        .unique()
        .join(rows.with_row_index("row"), on="item_id", how="inner")
        .select("user_id", "row")
        .sort("user_id", "row")
    )
    if owned.is_empty():
        return
    owners = owned["user_id"].rle_id().to_numpy()
    for part in whole_groups(owners, _ROWS):
        users, items = owned["user_id"][part], owned["row"][part].to_numpy()
        starts = np.flatnonzero(np.diff(owners[part], prepend=-1))
        sums = np.add.reduceat(embeddings[items], starts, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        has_taste = lengths[:, 0] > 0
        vectors = (sums[has_taste] / lengths[has_taste]).astype(np.float32)
        yield Profiles(users.gather(starts).filter(pl.Series(has_taste)), vectors)


def refit_moment(date: dt.date, refit_days: int) -> dt.datetime:
    """Start (UTC) of the last day up to `date` whose ordinal is a multiple of `refit_days`.

    Depends on the date alone, so that a backfill makes the same cohorts as the night itself.
    """
    day = dt.date.fromordinal(max(1, date.toordinal() // refit_days * refit_days))
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def sample_users(user_ids: pl.Series, config: CohortConfig) -> pl.DataFrame:
    """Returns `user_id, hash` of the users that the cohorts are fitted to: those of least hash.

    All users, if there are few. The sample of several parts of the users is that of their samples.
    """
    share = max(_FIT_USERS, _FIT_SIZES * config.min_users)
    known = user_ids.unique().alias("user_id")
    hashed = known.to_frame().with_columns(hash=pl.Series(id_hashes(known)))
    return hashed.sort("hash", "user_id").head(min(config.count * share, _MOST_FIT_USERS))


def fit_cohorts(
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
        interactions: All interactions up to tonight of `sample_users`: `user_id, item_id,
            timestamp`.
        item_ids: Item of each row of `embeddings`, unique.
        config: Number of cohorts and their smallest size.
        refit_at: The clusters are fitted to interactions before this instant, or to all of them if
            those have too few users for a cohort.
        seed: Of k-means.
    """
    known = interactions.filter(pl.col("timestamp") < refit_at)
    fitted = user_profiles(embeddings, known, item_ids)
    if len(fitted.vectors) >= config.min_users:
        return Cohorts(_centroids(fitted.vectors, config, seed), refit_at)
    fitted = user_profiles(embeddings, interactions, item_ids)
    return Cohorts(_centroids(fitted.vectors, config, seed), None)


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
        max_points_per_centroid=len(profiles),  # the sample has been taken
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
    """Number of the centroid nearest to each profile; the first of equally near ones."""
    nearest = np.zeros(len(profiles), dtype=np.int64)
    every = np.arange(len(centroids))
    step = max(1, _ROWS // len(centroids))
    for start in range(0, len(profiles), step):
        part = profiles[start : start + step]
        products = inner_products(part, centroids, np.tile(every, (len(part), 1)))
        nearest[start : start + step] = products.argmax(axis=1)
    return nearest


def popular_items(item_users: pl.DataFrame, moment: dt.datetime) -> pl.DataFrame:
    """Returns each cohort's most popular items, as interactions of a user with its name.

    Args:
        item_users: `cohort, item_id, users`, as `Cohorts.item_users`, of all users.
        moment: Time of the interactions.

    Returns:
        `user_id, item_id, timestamp`.
    """
    popular = (
        item_users.sort("cohort", "users", "item_id", descending=[False, True, False])
        .group_by("cohort", maintain_order=True)
        .head(_COHORT_ITEMS)
    )
    return popular.select(
        pl.col("cohort").alias("user_id"),
        "item_id",
        pl.lit(moment).cast(pl.Datetime("us", "UTC")).alias("timestamp"),
    )
