"""The night's cohorts: who belongs to which, and what each of them may be drawn."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.nightly.plan.choice import prioritise
from pigeon_rec.nightly.plan.inputs import Looks, PlanInputs
from pigeon_rec.retrieval import HistoryRetriever, find_cohorts, refit_moment

__all__ = ["NightCohorts", "plan_cohorts"]


@dataclass(frozen=True)
class NightCohorts:
    """What cohorts add to a night.

    Attributes:
        members: `user_id, cohort`, by user.
        pairs: Pairs of cohorts with history and priority, as those of users; `user_id` is the name
            of the cohort.
    """

    members: pl.DataFrame
    pairs: pl.DataFrame


def plan_cohorts(
    config: NightlyConfig,
    date: dt.date,
    recommendations: pl.DataFrame,
    inputs: PlanInputs,
    looks: Looks,
) -> NightCohorts:
    """Finds the cohorts of a night and the references that are worth a picture for each.

    Args:
        config: Settings of the night.
        date: Logical date.
        recommendations: `user_id, item_id, expected_views` of all pairs with a usable reference,
            also of users who have too little history for pictures of their own.
        inputs: Interactions up to the end of the date.
        looks: Vectors of the items.
    """
    settings = config.plan.cohorts
    usable = inputs.interactions.filter(~pl.col("item_id").is_in(list(looks.broken)))
    refit_at = refit_moment(date, settings.refit_days)
    cohorts = find_cohorts(
        looks.vectors, usable, looks.item_ids, settings, refit_at=refit_at, seed=config.seed
    )
    popular = _popular(recommendations, cohorts.members, settings.references)
    retriever = HistoryRetriever(
        looks.vectors,
        cohorts.interactions,
        looks.item_ids,
        config.retrieval,
        inputs.as_of,
    )
    histories = retriever.retrieve(popular)
    drawable = histories.filter(pl.col("history_ids").list.len() > 0)
    return NightCohorts(cohorts.members, prioritise(popular, drawable))


def _popular(recommendations: pl.DataFrame, members: pl.DataFrame, most: int) -> pl.DataFrame:
    """The references that each cohort's users are expected to see most often."""
    return (
        recommendations.join(members, on="user_id", how="inner")
        .group_by("cohort", "item_id")
        # Summed in one order whatever the order of the rows: sums of floats depend on it.
        .agg(pl.col("expected_views").sort().sum())
        .sort("cohort", "expected_views", "item_id", descending=[False, True, False])
        .group_by("cohort", maintain_order=True)
        .head(most)
        .select(pl.col("cohort").alias("user_id"), "item_id", "expected_views")
    )
