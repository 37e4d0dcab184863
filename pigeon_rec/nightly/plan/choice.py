"""Which recommendations can have a picture, and which of those get one tonight.

Everything here is a table in and tables out: each recommendation ends in exactly one of `skipped`
(cannot), `over_user_limit`, `over_budget` (could, but not tonight) or the chosen pairs. Pairs of
cohorts compete with those of users for the same budget, by the same priority.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from pigeon_rec.config import PlanConfig
from pigeon_rec.retrieval import COHORT_PREFIX

__all__ = [
    "OVER_BUDGET",
    "OVER_USER_LIMIT",
    "PLANNED",
    "SKIPPED_SCHEMA",
    "Choice",
    "choose",
    "expected_views",
    "prioritise",
    "screen",
    "usable_counts",
]

OVER_BUDGET: Final = "over_budget"
OVER_USER_LIMIT: Final = "over_user_limit"
PLANNED: Final = "planned"

SKIPPED_SCHEMA: Final = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "reason": pl.String(), "detail": pl.String()}
)
_PAIR = ["user_id", "item_id"]
_PLACES = 6  # what comes after them is arithmetic noise of the machine


@dataclass(frozen=True)
class Choice:
    """The pairs of the night, best first, and what kept the others out.

    Attributes:
        pairs: The chosen rows of users and cohorts, by falling priority, then user and item.
        judged: `user_id, item_id, reason, detail`, one row per pair of a user that could have been
            chosen: `planned`, or the limit that it did not fit into.
    """

    pairs: pl.DataFrame
    judged: pl.DataFrame

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many pairs each limit kept out."""
        return {
            limit: int((self.judged["reason"] == limit).sum())
            for limit in (OVER_USER_LIMIT, OVER_BUDGET)
        }


def usable_counts(interactions: pl.DataFrame, broken: Mapping[str, str]) -> pl.DataFrame:
    """How many different items with a usable image each user has: `user_id, usable`."""
    return (
        interactions.filter(~pl.col("item_id").is_in(list(broken)))
        .group_by("user_id")
        .agg(pl.col("item_id").n_unique().alias("usable"))
    )


def screen(
    recommendations: pl.DataFrame,
    catalogue_ids: pl.Series,
    counts: pl.DataFrame,
    broken: Mapping[str, str],
    min_interactions: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Separates recommendations that can be personalised from those that cannot.

    Args:
        recommendations: At least `user_id, item_id`.
        catalogue_ids: All known item ids.
        counts: From `usable_counts`; a user without a row has none.
        broken: Items whose image cannot be used, with what is wrong.
        min_interactions: Different usable items a user must have.

    Returns:
        The rows that remain, and `SKIPPED_SCHEMA` for the others.
    """
    usable = pl.col("usable").fill_null(0)
    needed = pl.format("{} of {} items with a usable image", usable, pl.lit(min_interactions))
    fault = pl.DataFrame(
        {"item_id": list(broken), "fault": list(broken.values())},
        schema={"item_id": pl.String(), "fault": pl.String()},
    )
    judged = (
        recommendations.join(counts, on="user_id", how="left", maintain_order="left")
        .join(fault, on="item_id", how="left", maintain_order="left")
        .with_columns(
            _first_that_holds(
                ("reserved_user", pl.col("user_id").str.starts_with(COHORT_PREFIX), _reserved()),
                ("unknown_item", ~pl.col("item_id").is_in(catalogue_ids.implode()), _unknown()),
                ("short_history", usable < min_interactions, needed),
                ("broken_image", pl.col("fault").is_not_null(), pl.col("fault")),
            )
        )
    )
    fit = judged.filter(pl.col("reason").is_null()).select(recommendations.columns)
    skipped = judged.filter(pl.col("reason").is_not_null()).select(list(SKIPPED_SCHEMA))
    return fit, skipped


def expected_views(rank: str = "rank") -> pl.Expr:
    """How likely a pair is seen: the discount of nDCG, 1 / log2(1 + rank)."""
    return 1.0 / (1.0 + pl.col(rank).cast(pl.Float64())).log(2.0)


def prioritise(recommendations: pl.DataFrame, histories: pl.DataFrame) -> pl.DataFrame:
    """Adds `expected_gain` and `priority`: how much it is worth to draw a pair, at least 0.

    The priority is expected views times expected gain. The gain is 1 - mean similarity of the
    reference to the history: a reference that looks like what the user already likes has little
    to win.

    Args:
        recommendations: `user_id, item_id, expected_views`.
        histories: `user_id, item_id, history_ids, history_scores, history_similarity`; none empty.
    """
    alike = pl.col("history_similarity").cast(pl.List(pl.Float64())).list.mean()
    worth = pl.col("expected_views") * pl.col("expected_gain")
    return (
        recommendations.join(histories, on=_PAIR, how="inner", maintain_order="left")
        .with_columns((1.0 - alike).clip(0.0, 2.0).alias("expected_gain"))
        .with_columns(worth.round(_PLACES).alias("priority"))
    )


def choose(ranked: pl.DataFrame, shared: pl.DataFrame, config: PlanConfig, budget: int) -> Choice:
    """Takes the best pairs within the limits per user, per night and for cohorts.

    What the warehouse already holds plays no part: reuse makes a night cheaper, never different,
    so a date planned again has the same pairs.

    Args:
        ranked: Pairs of users, from `prioritise`.
        shared: Pairs of cohorts, likewise.
        config: The limits.
        budget: Pictures that the night may plan in all.
    """
    place = pl.int_range(1, pl.len() + 1).over("user_id")
    ordered = _best_first(ranked).with_columns(place.alias("place"))
    within = ordered.filter(pl.col("place") <= config.max_assets_per_user)
    for_cohorts = _best_first(shared).head(int(config.cohorts.max_share * budget))
    contenders = pl.concat([within, for_cohorts], how="diagonal")
    pairs = _best_first(contenders).head(budget)
    return Choice(pairs.drop("place"), _judged(ordered, pairs, config))


def _judged(ordered: pl.DataFrame, pairs: pl.DataFrame, config: PlanConfig) -> pl.DataFrame:
    """Why each pair of a user was chosen or not."""
    limit = config.max_assets_per_user
    chosen = pairs.select(*_PAIR, pl.lit(value=True).alias("chosen"))
    over_limit = pl.col("place") > limit
    below = pl.format(
        "priority {}; the last pair within the budget has {}",
        "priority",
        pl.lit(pairs["priority"].min()).cast(pl.Float64()).fill_null(0.0),
    )
    return ordered.join(chosen, on=_PAIR, how="left", maintain_order="left").select(
        *_PAIR,
        pl.when(pl.col("chosen"))
        .then(pl.lit(PLANNED))
        .when(over_limit)
        .then(pl.lit(OVER_USER_LIMIT))
        .otherwise(pl.lit(OVER_BUDGET))
        .alias("reason"),
        pl.when(pl.col("chosen"))
        .then(pl.lit(None, pl.String()))
        .when(over_limit)
        .then(pl.format("number {} of the user's pairs; {} are planned", "place", pl.lit(limit)))
        .otherwise(below)
        .alias("detail"),
    )


def _best_first(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.sort(["priority", *_PAIR], descending=[True, False, False])


def _unknown() -> pl.Expr:
    return pl.lit("the item is not in the catalogue")


def _reserved() -> pl.Expr:
    return pl.lit(f"names that begin with {COHORT_PREFIX} belong to cohorts")


def _first_that_holds(*rules: tuple[str, pl.Expr, pl.Expr]) -> list[pl.Expr]:
    """`reason` and `detail` of the first rule whose condition holds; null where none does."""
    reason = pl.coalesce([pl.when(holds).then(pl.lit(name)) for name, holds, _ in rules])
    detail = pl.coalesce([pl.when(holds).then(text) for _, holds, text in rules])
    return [reason.alias("reason"), detail.alias("detail")]
