"""One part of a plan: which pairs of its users can be drawn, from which history, how urgently.

Parts know nothing of each other. What they count and sum up can be added, so that the whole night
is the same whatever its parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.files import read_table
from pigeon_rec.nightly.paths import NightPaths, PartPaths
from pigeon_rec.nightly.plan.choice import PAIR, placed, prioritise, screen, usable_counts
from pigeon_rec.nightly.plan.cohorts import expected_views_of
from pigeon_rec.nightly.plan.inputs import read_recommendations, recommendation_source
from pigeon_rec.nightly.plan.split import Split
from pigeon_rec.retrieval import HistoryRetriever
from pigeon_rec.runtime.digests import RowsSum
from pigeon_rec.runtime.files import read_json, write_json, write_parquet
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = ["PartSummary", "plan_part", "read_part"]

_PAIRS: Final = 1 << 18  # pairs whose histories are retrieved together


@dataclass(frozen=True)
class PartSummary:
    """Numbers of one part.

    Attributes:
        part: Its number, from 0.
        recommendations: Sum of the rows of its recommendations.
        interactions: Sum of the rows of its users' interactions up to the end of the date.
        pairs: Recommendations that can be drawn.
        reasons: Number of the others by reason.
    """

    part: int
    recommendations: RowsSum
    interactions: RowsSum
    pairs: int
    reasons: Mapping[str, int]


def plan_part(config: NightlyConfig, paths: NightPaths, split: Split, number: int) -> PartSummary:
    """Writes the files of one part, `part.json` last.

    Raises:
        PlanError: There is no such part, or a file of it is missing or damaged.
    """
    if not 0 <= number < len(split.parts):
        raise PlanError(
            f"the plan has no part {number}",
            location=str(paths.parts),
            remedy=f"Give a number from 0 to {len(split.parts) - 1}",
        )
    files = paths.part(number)
    files.info.unlink(missing_ok=True)
    recommendations = read_recommendations(config, paths, split.parts, number)
    interactions = split.interactions
    if len(split.parts) > 1:
        interactions = read_table(files.interactions, "split")
    usable = split.items.histories(interactions)
    _write_cohorts(split, recommendations, usable, files)
    pairs, skipped = _drawable(config, split, recommendations, usable)
    _write_pairs(config, recommendations, pairs, skipped, files)
    summary = PartSummary(
        part=number,
        recommendations=RowsSum.of(recommendations.drop("expected_views")),
        interactions=RowsSum.of(interactions),
        pairs=pairs.height,
        reasons=dict(sorted(skipped["reason"].value_counts().iter_rows())),
    )
    write_json(dataclasses.asdict(summary), files.info)
    return summary


def read_part(files: PartPaths) -> PartSummary | None:
    """Reads the summary of a part; `None` if it has not been planned."""
    try:
        facts: dict[str, Any] = read_json(files.info)
        sums = {name: RowsSum(**facts[name]) for name in ("recommendations", "interactions")}
        return PartSummary(**{**facts, **sums})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_cohorts(
    split: Split, recommendations: pl.DataFrame, usable: pl.DataFrame, files: PartPaths
) -> None:
    items = split.items
    members = split.cohorts.members(items.vectors, usable, items.item_ids)
    item_users = split.cohorts.item_users(items.vectors, usable, items.item_ids)
    write_parquet(members, files.members)
    write_parquet(item_users, files.item_users)
    write_parquet(expected_views_of(members, recommendations, items), files.views)


def _drawable(
    config: NightlyConfig, split: Split, recommendations: pl.DataFrame, usable: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns the pairs with history, priority and place, and the skipped ones with a reason."""
    items = split.items
    fit, skipped = screen(
        recommendations,
        split.catalogue.items["item_id"],
        usable_counts(usable),
        {"broken_image": items.broken, "placeholder_image": items.shared.placeholders},
        config.plan.min_interactions,
    )
    of_fit = usable.join(
        fit.select("user_id").unique(), on="user_id", how="semi", maintain_order="left"
    )
    retriever = HistoryRetriever(
        items.vectors, of_fit, items.item_ids, config.retrieval, split.as_of
    )
    found = []
    for rows in fit.iter_slices(_PAIRS):
        histories = retriever.retrieve(rows.select(PAIR))
        # The reference itself is never part of the history.
        without = histories.filter(pl.col("history_ids").list.len() == 0)
        skipped.extend(
            without.select(
                *PAIR,
                pl.lit("short_history").alias("reason"),
                pl.lit("no item but the reference itself").alias("detail"),
            )
        )
        found.append(prioritise(rows, histories).drop("history_similarity"))
    pairs = pl.concat(found) if found else _no_pairs(fit, retriever)
    return placed(pairs), skipped.sort(PAIR)


def _no_pairs(fit: pl.DataFrame, retriever: HistoryRetriever) -> pl.DataFrame:
    return prioritise(fit, retriever.retrieve(fit.select(PAIR))).drop("history_similarity")


def _write_pairs(
    config: NightlyConfig,
    recommendations: pl.DataFrame,
    pairs: pl.DataFrame,
    skipped: pl.DataFrame,
    files: PartPaths,
) -> None:
    within = pairs.filter(pl.col("place") <= config.plan.max_assets_per_user)
    counts = within.group_by("priority").agg(pl.len().cast(pl.Int64()).alias("count"))
    write_parquet(counts, files.priorities)
    chosen = ("priority", "place", "history_ids", "history_scores")
    write_parquet(pairs.select(*PAIR, *chosen), files.pairs)
    gains = pairs.select(*PAIR, "expected_gain", "priority", "place")
    explained = recommendations.join(gains, on=PAIR, how="left", maintain_order="left").join(
        skipped, on=PAIR, how="left", maintain_order="left"
    )
    columns = NIGHT_SCHEMAS["plan_pairs"].items()
    write_parquet(
        explained.select(*(pl.col(name).cast(kind) for name, kind in columns), "priority", "place"),
        files.explained,
    )
    write_parquet(skipped, files.skipped)
    write_parquet(_problems(config, skipped), files.problems)


def _problems(config: NightlyConfig, skipped: pl.DataFrame) -> pl.DataFrame:
    """Returns a problem per unknown item and per user with too little history, sorted."""

    def rows(reason: str, subject: str, location: str, message: pl.Expr) -> pl.DataFrame:
        return skipped.filter(pl.col("reason") == reason).select(
            pl.col("reason").alias("kind"),
            pl.col(subject).alias("subject"),
            pl.lit(location).alias("location"),
            message.alias("message"),
        )

    unknown = pl.format("item '{}' is recommended but not in the catalogue", "item_id")
    short = pl.format("user '{}' has too little history: {}", "user_id", "detail")
    found = pl.concat(
        [
            rows("unknown_item", "item_id", recommendation_source(config), unknown),
            rows("short_history", "user_id", config.interactions, short),
        ]
    )
    return found.unique().sort(found.columns)
