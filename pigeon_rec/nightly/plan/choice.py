"""Choice of requests: which recommendations can have a picture, and which of those get one.

Each recommendation ends as exactly one of: skipped (cannot be drawn), `known_refusal` or
`repeated_failure` (earlier nights could not serve it), `over_user_limit`, `over_budget` (could be
drawn, but not within the limits), or `planned`. Requests of cohorts compete with those of users for
the same budget, by the same priority.
"""

from __future__ import annotations

import math
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
    "choose_among",
    "decide",
    "expected_views",
    "left_out",
    "placed",
    "prioritise",
    "screen",
    "threshold",
    "usable_counts",
]

_OVER_BUDGET: Final = "over_budget"
_OVER_USER_LIMIT: Final = "over_user_limit"
_PLANNED: Final = "planned"

PAIR: Final = ["user_id", "item_id"]
_REFUSED: Final = dict.fromkeys((*PAIR, "reason", "detail", "cause"), pl.String())
_PLACE: Final = pl.int_range(1, pl.len() + 1, dtype=pl.Int32()).over("user_id").alias("place")
IS_COHORT: Final = pl.col("user_id").str.starts_with(COHORT_PREFIX)
_DECIMALS: Final = 6  # further digits differ between machines

LookUp = Callable[[pl.DataFrame], pl.DataFrame]
"""Takes requests; returns `user_id, item_id, reason, detail, cause` of those that earlier nights
could not serve and that are not to be drawn again."""


Read = Callable[[float, int, pl.Series], pl.DataFrame]
"""Reads pairs of users that contend for a place: those of a priority above the first argument, and
as many of just that priority as the second says, the first by user and item. Pairs beyond the limit
per user are left out, except those of the users in the third."""


@dataclass(frozen=True)
class Choice:
    """The requests of the night.

    Attributes:
        requests: The chosen rows of users and cohorts, by falling priority, then user and item.
        refused: `user_id, item_id, reason, detail, cause` of the requests of users and cohorts that
            would have been chosen, but are not drawn again.
        contenders: Number of pairs of users within the limit per user, without the refused ones.
    """

    requests: pl.DataFrame
    refused: pl.DataFrame
    contenders: int

    @property
    def refused_before(self) -> Mapping[str, int]:
        """Number of refused requests, by the reason that they were refused for."""
        return dict(sorted(self.refused["cause"].value_counts().iter_rows()))

    @property
    def affected(self) -> pl.Series:
        """Users with a refused request."""
        return self.refused.filter(~IS_COHORT)["user_id"].unique().sort()


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


def placed(pairs: pl.DataFrame) -> pl.DataFrame:
    """Numbers the pairs of each user by falling priority and item: `place`, from 1.

    Rows stay in their order: histories are many times as large as what is sorted.
    """
    keys = pairs.select(*PAIR, "priority").with_row_index("row")
    places = _best_first(keys).select("row", _PLACE).sort("row")["place"]
    return pairs.with_columns(places)


def choose_among(
    priorities: pl.DataFrame,
    read: Read,
    shared: pl.DataFrame,
    config: PlanConfig,
    budget: int,
    refused: LookUp,
) -> Choice:
    """Takes the best pairs as `choose`, of more than can be held: only the best are read.

    Args:
        priorities: `priority, count`: how many pairs of users within the limit per user have each
            priority.
        read: Reads the best pairs.
        shared: Pairs of cohorts, as `prioritise` returns them.
        config: Limits per user and for cohorts.
        budget: Number of pictures that the night may plan in total.
        refused: Looks up requests; may be asked for the same ones again.
    """
    wanted, affected = budget, pl.Series("user_id", [], pl.String())
    while True:
        lowest, ties = threshold(priorities, wanted)
        choice = choose(read(lowest, ties, affected), shared, config, budget, refused)
        gave_way = pl.concat([affected, choice.affected]).unique().sort()
        missing = budget - choice.contenders
        if len(gave_way) > len(affected):  # these users' next pairs may contend
            affected = gave_way
        elif missing > 0 and lowest > -math.inf:
            wanted += max(missing, wanted - budget)
        else:
            return choice


def threshold(priorities: pl.DataFrame, wanted: int) -> tuple[float, int]:
    """Returns the priority of the last of the best `wanted` pairs, and how many of them have it.

    If there are no more pairs than wanted, the first is minus infinity.

    Args:
        priorities: `priority, count`.
        wanted: Number of pairs.
    """
    if wanted <= 0:
        return math.inf, 0
    falling = priorities.sort("priority", descending=True)
    total = falling["count"].cum_sum()
    if falling.is_empty() or total[-1] <= wanted:
        return -math.inf, 0
    last = int(total.search_sorted(wanted, side="left"))
    above = int(total[last]) - int(falling["count"][last])
    return float(falling["priority"][last]), wanted - above


def choose(
    ranked: pl.DataFrame,
    shared: pl.DataFrame,
    config: PlanConfig,
    budget: int,
    refused: LookUp,
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
        within = ordered.with_columns(_PLACE).filter(pl.col("place") <= config.max_assets_per_user)
        of_cohorts = for_cohorts.head(int(config.cohorts.max_share * budget))
        contenders = pl.concat([within, of_cohorts], how="diagonal")
        requests = _best_first(contenders).head(budget).drop("place")
        new = requests.join(checked, on=PAIR, how="anti", maintain_order="left")
        found = refused(new) if new.height else left_out.clear()
        if found.is_empty():
            return Choice(requests, left_out, within.height)
        checked = pl.concat([checked.select(PAIR), new.select(PAIR)])
        left_out = pl.concat([left_out, found])
        ordered, for_cohorts = (
            pairs.join(found, on=PAIR, how="anti", maintain_order="left")
            for pairs in (ordered, for_cohorts)
        )


def decide(
    pairs: pl.LazyFrame, of_affected: pl.DataFrame, choice: Choice, limit: int
) -> pl.LazyFrame:
    """Adds `reason` and `detail` of the decision on each pair, without holding the pairs.

    Args:
        pairs: `user_id, item_id, priority, place`, and `reason, detail` of those that cannot be
            drawn (null for the others).
        of_affected: `user_id, item_id, priority` of all drawable pairs of `choice.affected`: they
            move up where a refused one gives way.
        choice: The requests.
        limit: Largest number of requests of a user.
    """
    moved = placed(of_affected.join(choice.refused, on=PAIR, how="anti"))
    refused = choice.refused.select(*PAIR, why="reason", how="detail")
    lowest = pl.lit(choice.requests["priority"].min()).cast(pl.Float64()).fill_null(0.0)
    below = pl.format("priority {}; the last pair within the budget has {}", "priority", lowest)
    over = pl.format("number {} of the user's pairs; {} are planned", "place", pl.lit(limit))
    decided = [
        (_PLANNED, pl.col("chosen"), pl.lit(None, pl.String())),
        (_OVER_USER_LIMIT, pl.col("place") > limit, over),
        (_OVER_BUDGET, pl.lit(value=True), below),
    ]
    joined = pairs
    for facts in (
        choice.requests.select(*PAIR, pl.lit(value=True).alias("chosen")),
        moved.select(*PAIR, moved="place"),
        refused,
    ):
        joined = joined.join(facts.lazy(), on=PAIR, how="left", maintain_order="left")
    reason, detail = _first_match(*decided)
    is_open = pl.col("reason").is_null() & pl.col("why").is_null()
    return (
        joined.with_columns(pl.coalesce("moved", "place").alias("place"))
        .with_columns(
            pl.when(is_open).then(reason).otherwise(pl.coalesce("reason", "why")).alias("reason"),
            pl.when(is_open).then(detail).otherwise(pl.coalesce("detail", "how")).alias("detail"),
        )
        .drop("chosen", "moved", "why", "how")
    )


def left_out(reasons: pl.DataFrame) -> Mapping[str, int]:
    """Number of pairs that each limit excluded, of `reason, count` of all recommendations."""
    counts = dict(reasons.select("reason", "count").iter_rows())
    return {limit: int(counts.get(limit, 0)) for limit in (_OVER_USER_LIMIT, _OVER_BUDGET)}


def _best_first(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.sort(["priority", *PAIR], descending=[True, False, False])


def _first_match(*rules: tuple[str, pl.Expr, pl.Expr]) -> list[pl.Expr]:
    """Returns `reason` and `detail` of the first rule whose condition holds; null if none does."""
    reason = detail = pl.lit(None, pl.String())
    for name, holds, text in reversed(rules):
        reason = pl.when(holds).then(pl.lit(name)).otherwise(reason)
        detail = pl.when(holds).then(text).otherwise(detail)
    return [reason.alias("reason"), detail.alias("detail")]
