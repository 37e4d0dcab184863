"""Which candidate pairs can have a picture, and which of those get one tonight.

Everything here is a table in and tables out: each candidate ends in exactly one of `skipped`
(cannot), `over_user_limit`, `over_budget` (could, but not tonight) or the chosen pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from pigeon_rec.config import PlanConfig

__all__ = [
    "OVER_BUDGET",
    "OVER_USER_LIMIT",
    "SKIPPED_SCHEMA",
    "Choice",
    "choose",
    "prioritise",
    "screen",
    "usable_counts",
]

OVER_BUDGET: Final = "over_budget"
OVER_USER_LIMIT: Final = "over_user_limit"

SKIPPED_SCHEMA: Final = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "reason": pl.String(), "detail": pl.String()}
)
_PAIR = ["user_id", "item_id"]
_PLACES = 6  # what comes after them is arithmetic noise of the machine


@dataclass(frozen=True)
class Choice:
    """The pairs of the night, best first, and how many had to stand back.

    Attributes:
        pairs: The chosen rows, by falling priority, then user and item.
        left_out: How many pairs each limit kept out.
    """

    pairs: pl.DataFrame
    left_out: Mapping[str, int]


def usable_counts(interactions: pl.DataFrame, broken: Mapping[str, str]) -> pl.DataFrame:
    """How many different items with a usable image each user has: `user_id, usable`."""
    return (
        interactions.filter(~pl.col("item_id").is_in(list(broken)))
        .group_by("user_id")
        .agg(pl.col("item_id").n_unique().alias("usable"))
    )


def screen(
    candidates: pl.DataFrame,
    catalogue_ids: pl.Series,
    counts: pl.DataFrame,
    broken: Mapping[str, str],
    min_interactions: int,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Separates candidates that can be personalised from those that cannot.

    Args:
        candidates: At least `user_id, item_id`.
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
        candidates.join(counts, on="user_id", how="left", maintain_order="left")
        .join(fault, on="item_id", how="left", maintain_order="left")
        .with_columns(
            _first_that_holds(
                ("unknown_item", ~pl.col("item_id").is_in(catalogue_ids.implode()), _unknown()),
                ("short_history", usable < min_interactions, needed),
                ("broken_image", pl.col("fault").is_not_null(), pl.col("fault")),
            )
        )
    )
    fit = judged.filter(pl.col("reason").is_null()).select(candidates.columns)
    skipped = judged.filter(pl.col("reason").is_not_null()).select(list(SKIPPED_SCHEMA))
    return fit, skipped


def prioritise(candidates: pl.DataFrame, histories: pl.DataFrame) -> pl.DataFrame:
    """Adds `priority`: how much it is worth to draw a pair, always at least 0.

    The weight of the rank is the discount of nDCG, 1 / log2(1 + rank): how likely the pair is
    seen. The expected gain is 1 - mean similarity of the reference to the history: a reference
    that looks like what the user already likes has little to win.

    Args:
        candidates: `user_id, item_id, rank`.
        histories: `user_id, item_id, history_ids, history_scores, history_similarity`; none empty.
    """
    seen = 1.0 / (1.0 + pl.col("rank").cast(pl.Float64())).log(2.0)
    alike = pl.col("history_similarity").cast(pl.List(pl.Float64())).list.mean()
    gain = (1.0 - alike).clip(0.0, 2.0)
    return candidates.join(histories, on=_PAIR, how="inner", maintain_order="left").with_columns(
        (seen * gain).round(_PLACES).alias("priority")
    )


def choose(ranked: pl.DataFrame, config: PlanConfig) -> Choice:
    """Takes the best pairs within the limits per user and per night.

    What the warehouse already holds plays no part: reuse makes a night cheaper, never different,
    so a date planned again has the same pairs.
    """
    ordered = ranked.sort(["priority", *_PAIR], descending=[True, False, False])
    within = ordered.filter(pl.int_range(pl.len()).over("user_id") < config.max_assets_per_user)
    pairs = within.head(config.max_assets)
    left_out = {
        OVER_USER_LIMIT: ordered.height - within.height,
        OVER_BUDGET: within.height - pairs.height,
    }
    return Choice(pairs, left_out)


def _unknown() -> pl.Expr:
    return pl.lit("the item is not in the catalogue")


def _first_that_holds(*rules: tuple[str, pl.Expr, pl.Expr]) -> list[pl.Expr]:
    """`reason` and `detail` of the first rule whose condition holds; null where none does."""
    reason = pl.coalesce([pl.when(holds).then(pl.lit(name)) for name, holds, _ in rules])
    detail = pl.coalesce([pl.when(holds).then(text) for _, holds, text in rules])
    return [reason.alias("reason"), detail.alias("detail")]
