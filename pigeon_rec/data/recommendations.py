"""Recommendations: the (user, item, score) table of a recommender, checked and ranked."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.data.catalogue import Catalogue, Problem
from pigeon_rec.errors import PlanError, may_pass
from pigeon_rec.runtime.files import read_parquet

__all__ = [
    "RECOMMENDATION_SCHEMA",
    "group_by_front_item",
    "load_recommendations",
    "rank_recommendations",
]

RECOMMENDATION_SCHEMA: Final = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "score": pl.Float32(), "rank": pl.Int32()}
)
_SUBJECT: Final = pl.concat_str(pl.col("user_id", "item_id").fill_null("?"), separator=" / ")


def load_recommendations(path: Path) -> tuple[pl.DataFrame, list[Problem]]:
    """Reads a parquet file of `user_id, item_id, score` and ranks its rows.

    Returns:
        As `rank_recommendations`.

    Raises:
        PlanError: The file cannot be read, or a column is missing or of the wrong type.
    """
    try:
        frame = read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PlanError(
            f"cannot read the recommendations: {error}",
            location=str(path.absolute()),
            remedy="Give a parquet file of user_id, item_id, score, or `recbole`",
            retryable=isinstance(error, OSError) and may_pass(error),
        ) from error
    missing = [name for name in ("user_id", "item_id", "score") if name not in frame.columns]
    if missing:
        raise PlanError(f"columns are missing: {', '.join(missing)}", location=str(path))
    for name in ("user_id", "item_id"):
        if frame.schema[name] != pl.String():
            raise PlanError(
                f"column {name} holds {frame.schema[name]}, not strings",
                location=str(path),
                remedy="Ids are strings: cast the column",
            )
    if not frame.schema["score"].is_numeric():
        raise PlanError(
            f"column score holds {frame.schema['score']}, not numbers",
            location=str(path),
            remedy="Cast the column to a number; a higher score is better",
        )
    return rank_recommendations(frame, str(path))


def rank_recommendations(frame: pl.DataFrame, source: str) -> tuple[pl.DataFrame, list[Problem]]:
    """Ranks each user's items by falling score; ties are ranked by item id.

    Args:
        frame: Columns `user_id, item_id, score`.
        source: Where the rows come from, for the location of problems.

    Returns:
        `RECOMMENDATION_SCHEMA`, one row per user and item (the best score), sorted by user and
        rank; and a `Problem` for each row left out: `bad_recommendation` for an empty id or a
        score that is not finite, `duplicate_recommendation` for a repeated pair.
    """
    rows = frame.with_columns(pl.col("score").cast(pl.Float64)).with_row_index("row", offset=1)
    named = pl.all_horizontal(pl.col("user_id", "item_id").fill_null("") != "")
    scored = pl.col("score").cast(pl.Float32()).is_finite().fill_null(value=False)
    usable = rows.filter(named & scored).sort(
        ["user_id", "score", "item_id", "row"], descending=[False, True, False, False]
    )
    best = usable.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    rank = pl.int_range(1, pl.len() + 1).over("user_id").alias("rank")
    recommendations = best.select("user_id", "item_id", "score", rank).cast(RECOMMENDATION_SCHEMA)
    repeated = usable.join(best, on="row", how="anti")
    left_out = (
        (rows.filter(~named), "bad_recommendation", "user_id or item_id is empty"),
        (rows.filter(named & ~scored), "bad_recommendation", "score is no number"),
        (repeated, "duplicate_recommendation", "the pair is repeated with a better score"),
    )
    return recommendations, [
        Problem(kind, subject, f"{source}, row {row}", message)
        for frame, kind, message in left_out
        for subject, row in frame.sort("row").select(_SUBJECT, "row").iter_rows()
    ]


def group_by_front_item(
    interactions: pl.DataFrame, catalogue: Catalogue, column: str | None
) -> pl.DataFrame:
    """Replaces every item by the item of its group with the most interactions (ties by id).

    The catalogue's `column` names the group of an item; without it nothing is replaced. Items
    without a name there are in no group.
    """
    if column is None or column not in catalogue.items.columns:
        return interactions
    groups = catalogue.items.select("item_id", catalogue.items[column].alias("group"))
    grouped = interactions.join(groups, on="item_id", how="left", maintain_order="left")
    counts = grouped.filter(pl.col("group") != "").group_by("group", "item_id").len()
    fronts = counts.sort(["len", "item_id"], descending=[True, False]).unique(
        "group", keep="first", maintain_order=True
    )
    front = fronts.select("group", pl.col("item_id").alias("front"))
    return (
        grouped.join(front, on="group", how="left", maintain_order="left")
        .with_columns(item_id=pl.coalesce("front", "item_id"))
        .select(interactions.columns)
    )
