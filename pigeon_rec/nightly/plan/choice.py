"""Choice of requests: which recommendations can have a picture, and which of those get one.

Each recommendation ends as exactly one of: skipped (cannot be drawn), `known_refusal` or
`repeated_failure` (earlier nights could not serve it), `over_user_limit`, `over_budget` (could be
drawn, but not within the limits), or `planned`. Requests of cohorts compete with those of users for
the same budget, by the same priority.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from pigeon_rec.config import PlanConfig
from pigeon_rec.retrieval import COHORT_PREFIX

__all__ = [
    "IS_COHORT",
    "PAIR",
    "Choice",
    "choose",
    "expected_views",
    "prioritise",
    "screen",
    "usable_counts",
]

_OVER_BUDGET: Final = "over_budget"
_OVER_USER_LIMIT: Final = "over_user_limit"
_PLANNED: Final = "planned"

PAIR: Final = ["user_id", "item_id"]
_REFUSED: Final = dict.fromkeys((*PAIR, "reason", "detail", "cause"), pl.String())
_PLACE: Final = pl.int_range(1, pl.len() + 1).over("user_id").alias("place")
IS_COHORT: Final = pl.col("user_id").str.starts_with(COHORT_PREFIX)
_DECIMALS: Final = 6  # further digits differ between machines

LookUp = Callable[[pl.DataFrame], pl.DataFrame]
"""Takes requests; returns `user_id, item_id, reason, detail, cause` of those that earlier nights
could not serve and that are not to be drawn again."""


@dataclass(frozen=True)
class Choice:
    """The requests of the night, and the decision on every pair that could be drawn.

    Attributes:
        requests: The chosen rows of users and cohorts, by falling priority, then user and item.
        decisions: `user_id, item_id, reason, detail`, one row per drawable pair of a user:
            `planned`, the limit that it exceeds, or why it is not drawn again.
        refused_before: Number of requests of users and cohorts that are not drawn again, by the
            reason that they were refused for.
    """

    requests: pl.DataFrame
    decisions: pl.DataFrame
    refused_before: Mapping[str, int]

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of pairs that each limit excluded."""
        return {
            limit: int((self.decisions["reason"] == limit).sum())
            for limit in (_OVER_USER_LIMIT, _OVER_BUDGET)
        }


def usable_counts(interactions: pl.DataFrame) -> pl.DataFrame:
    """Counts the different items of each user: `user_id, usable`."""
    return interactions.group_by("user_id").agg(pl.col("item_id").n_unique().alias("usable"))


def screen(
    recommendations: pl.DataFrame,
    catalogue_ids: pl.Series,
    counts: pl.DataFrame,
    unusable: Mapping[str, Mapping[str, str]],
    min_interactions: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Separates recommendations that can be personalised from those that cannot.

    Args:
        recommendations: At least `user_id, item_id`.
        catalogue_ids: All known item ids.
        counts: From `usable_counts`; a user without a row has none.
        unusable: Reason -> item whose image cannot be redrawn -> detail.
        min_interactions: Different usable items a user must have.

    Returns:
        The rows that remain, and `user_id, item_id, reason, detail` of the others.
    """
    usable = pl.col("usable").fill_null(0)
    needed = pl.format("{} of {} items with a usable image", usable, pl.lit(min_interactions))
    reserved = pl.lit(f"names that begin with {COHORT_PREFIX} belong to cohorts")
    unknown = pl.lit("the item is not in the catalogue")
    faults = [(*fault, why) for why, items in unusable.items() for fault in items.items()]
    fault = pl.DataFrame(
        faults, schema=dict.fromkeys(("item_id", "fault", "why"), pl.String()), orient="row"
    ).unique("item_id", keep="first")
    screened = (
        recommendations.join(counts, on="user_id", how="left", maintain_order="left")
        .join(fault, on="item_id", how="left", maintain_order="left")
        .with_columns(
            _first_match(
                ("reserved_user", IS_COHORT, reserved),
                ("unknown_item", ~pl.col("item_id").is_in(catalogue_ids.implode()), unknown),
                ("short_history", usable < min_interactions, needed),
                *((why, pl.col("why") == why, pl.col("fault")) for why in unusable),
            )
        )
    )
    skip = pl.col("reason").is_not_null()
    fit = screened.filter(~skip).select(recommendations.columns)
    return fit, screened.filter(skip).select(*PAIR, "reason", "detail")


def expected_views(rank: str = "rank") -> pl.Expr:
    """Weighs a rank by how likely it is seen: 1 / log2(1 + rank), the discount of nDCG."""
    return 1.0 / (1.0 + pl.col(rank).cast(pl.Float64())).log(2.0)


def prioritise(recommendations: pl.DataFrame, histories: pl.DataFrame) -> pl.DataFrame:
    """Adds `expected_gain` and `priority`, both at least 0.

    The priority is expected views times expected gain. The gain is 1 - mean cosine of the
    reference with the history: a reference that resembles the user's history gains little.

    Args:
        recommendations: `user_id, item_id, expected_views`.
        histories: `user_id, item_id, history_ids, history_scores, history_similarity`; rows with
            an empty history are dropped.
    """
    drawable = histories.filter(pl.col("history_ids").list.len() > 0)
    similarity = pl.col("history_similarity").cast(pl.List(pl.Float64())).list.mean()
    priority = pl.col("expected_views") * pl.col("expected_gain")
    return (
        recommendations.join(drawable, on=PAIR, how="inner", maintain_order="left")
        .with_columns((1.0 - similarity).clip(0.0, 2.0).alias("expected_gain"))
        .with_columns(priority.round(_DECIMALS).alias("priority"))
    )


def choose(
    ranked: pl.DataFrame,
    shared: pl.DataFrame,
    config: PlanConfig,
    budget: int,
    refused: LookUp | None = None,
) -> Choice:
    """Takes the best pairs within the limits per user, per night and for cohorts.

    A request that `refused` returns takes no place: the next pair gets it. Which pictures the
    warehouse holds does not matter: reuse makes a night cheaper, never different.

    `ranked` and `shared` hold the pairs of users and of cohorts, as `prioritise` returns them;
    `budget` is the number of pictures that the night may plan in total.
    """
    ordered, for_cohorts = _best_first(ranked), _best_first(shared)
    checked = left_out = pl.DataFrame(schema=_REFUSED)
    while True:
        requests = _within_limits(ordered, for_cohorts, config, budget)
        new = requests.join(checked, on=PAIR, how="anti", maintain_order="left")
        found = left_out.clear() if refused is None or new.is_empty() else refused(new)
        if found.is_empty():
            break
        checked = pl.concat([checked.select(PAIR), new.select(PAIR)])
        left_out = pl.concat([left_out, found])
        ordered, for_cohorts = (
            pairs.join(found, on=PAIR, how="anti", maintain_order="left")
            for pairs in (ordered, for_cohorts)
        )
    causes = dict(sorted(left_out["cause"].value_counts().iter_rows()))
    known = left_out.filter(~IS_COHORT).select(*PAIR, "reason", "detail")
    decisions = _decisions(ordered, requests, config.max_assets_per_user)
    return Choice(requests, pl.concat([decisions, known]), causes)


def _within_limits(
    ordered: pl.DataFrame, for_cohorts: pl.DataFrame, config: PlanConfig, budget: int
) -> pl.DataFrame:
    within = ordered.with_columns(_PLACE).filter(pl.col("place") <= config.max_assets_per_user)
    shared = for_cohorts.head(int(config.cohorts.max_share * budget))
    contenders = pl.concat([within, shared], how="diagonal")
    return _best_first(contenders).head(budget).drop("place")


def _decisions(ordered: pl.DataFrame, requests: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Returns the reason and detail of every pair of a user."""
    chosen = requests.select(*PAIR, pl.lit(value=True).alias("chosen"))
    lowest = pl.lit(requests["priority"].min()).cast(pl.Float64()).fill_null(0.0)
    below = pl.format("priority {}; the last pair within the budget has {}", "priority", lowest)
    over = pl.format("number {} of the user's pairs; {} are planned", "place", pl.lit(limit))
    return (
        ordered.with_columns(_PLACE)
        .join(chosen, on=PAIR, how="left", maintain_order="left")
        .with_columns(
            _first_match(
                (_PLANNED, pl.col("chosen"), pl.lit(None, pl.String())),
                (_OVER_USER_LIMIT, pl.col("place") > limit, over),
                (_OVER_BUDGET, pl.lit(value=True), below),
            )
        )
        .select(*PAIR, "reason", "detail")
    )


def _best_first(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.sort(["priority", *PAIR], descending=[True, False, False])


def _first_match(*rules: tuple[str, pl.Expr, pl.Expr]) -> list[pl.Expr]:
    """Returns `reason` and `detail` of the first rule whose condition holds; null if none does."""
    reason = detail = pl.lit(None, pl.String())
    for name, holds, text in reversed(rules):
        reason = pl.when(holds).then(pl.lit(name)).otherwise(reason)
        detail = pl.when(holds).then(text).otherwise(detail)
    return [reason.alias("reason"), detail.alias("detail")]
