"""Taste cohorts of the night: their members, and the requests that may be drawn for them."""

from __future__ import annotations

import datetime as dt

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.plan.choice import IS_COHORT, prioritise
from pigeon_rec.nightly.plan.inputs import PlanInputs
from pigeon_rec.retrieval import HistoryRetriever, ItemEmbeddings, find_cohorts, refit_moment

__all__ = ["plan_cohorts"]


def plan_cohorts(
    config: NightlyConfig, date: dt.date, inputs: PlanInputs, embeddings: ItemEmbeddings
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Finds the cohorts of a night and the most viewed references of each.

    Every recommendation with a usable reference counts, also those of users with too little
    history for pictures of their own.

    Returns:
        `user_id, cohort` of the members, by user; and the cohorts' requests with history and
        priority, like those of users, whose `user_id` is the cohort's name.
    """
    settings = config.plan.cohorts
    cohorts = find_cohorts(
        embeddings.vectors,
        embeddings.histories(inputs.interactions),
        embeddings.item_ids,
        settings,
        refit_at=refit_moment(date, settings.refit_days),
        seed=config.seed,
    )
    known = pl.col("item_id").is_in(embeddings.item_ids)
    recommendations = embeddings.usable(inputs.recommendations).filter(known, ~IS_COHORT)
    popular = _most_viewed(recommendations, cohorts.members, settings.references)
    retriever = HistoryRetriever(
        embeddings.vectors,
        embeddings.histories(cohorts.interactions),
        embeddings.item_ids,
        config.retrieval,
        inputs.as_of,
    )
    return cohorts.members, prioritise(popular, retriever.retrieve(popular))


def _most_viewed(recommendations: pl.DataFrame, members: pl.DataFrame, count: int) -> pl.DataFrame:
    """Returns the references that the users of each cohort are expected to view most often."""
    return (
        recommendations.join(members, on="user_id", how="inner")
        .group_by("cohort", "item_id")
        # Sorted, because sums of floats depend on their order.
        .agg(pl.col("expected_views").sort().sum())
        .sort("cohort", "expected_views", "item_id", descending=[False, True, False])
        .group_by("cohort", maintain_order=True)
        .head(count)
        .select(pl.col("cohort").alias("user_id"), "item_id", "expected_views")
    )
