"""Requests that may be drawn for the taste cohorts of the night."""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.plan.choice import IS_COHORT, prioritise
from pigeon_rec.nightly.plan.split import Split
from pigeon_rec.retrieval import HistoryRetriever, ItemEmbeddings, popular_items

__all__ = ["cohort_requests", "expected_views_of"]

_NANO: Final = 1e9
_MOMENT: Final = dt.timedelta(microseconds=1)


def expected_views_of(
    members: pl.DataFrame, recommendations: pl.DataFrame, items: ItemEmbeddings
) -> pl.DataFrame:
    """Sums how often the users of each cohort are expected to view each reference.

    Every recommendation with a usable reference counts, also those of users with too little
    history for pictures of their own.

    Returns:
        `cohort, item_id, views`; views are whole billionths, since sums of floats depend on their
        order. Sums of parts of the users can be added up.
    """
    known = pl.col("item_id").is_in(items.item_ids)
    views = (pl.col("expected_views") * _NANO).round().cast(pl.Int64())
    return (
        items.usable(recommendations)
        .filter(known, ~IS_COHORT)
        .join(members, on="user_id", how="inner")
        .group_by("cohort", "item_id")
        .agg(views.sum().alias("views"))
    )


def cohort_requests(
    config: NightlyConfig, split: Split, item_users: pl.DataFrame, views: pl.DataFrame
) -> pl.DataFrame:
    """Returns the requests of cohorts for their most viewed references.

    Args:
        config: Settings of the night.
        split: Items and time.
        item_users: `cohort, item_id, users` of all users, as `Cohorts.item_users`.
        views: `cohort, item_id, views` of all users, as `expected_views_of`.

    Returns:
        Requests with history and priority, like those of users, whose `user_id` is the cohort's
        name.
    """
    most_viewed = (
        views.sort("cohort", "views", "item_id", descending=[False, True, False])
        .group_by("cohort", maintain_order=True)
        .head(config.plan.cohorts.references)
        .select(
            pl.col("cohort").alias("user_id"),
            "item_id",
            (pl.col("views") / _NANO).alias("expected_views"),
        )
    )
    items = split.items
    popular = popular_items(item_users, split.as_of - _MOMENT)
    retriever = HistoryRetriever(
        items.vectors, items.histories(popular), items.item_ids, config.retrieval, split.as_of
    )
    return prioritise(most_viewed, retriever.retrieve(most_viewed))
