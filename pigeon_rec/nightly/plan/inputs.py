"""Inputs of a plan: the recommendations by part, and the problems of all tables."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Problem
from pigeon_rec.data.parts import ONE_PART, UserParts
from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.files import read_table
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan.choice import expected_views
from pigeon_rec.runtime.files import read_json
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = ["night_parts", "problem_rows", "read_recommendations", "recommendation_source"]


def night_parts(paths: NightPaths) -> UserParts:
    """Returns how `recommend` has divided the users of the night.

    Recommendations that another program wrote are one part.
    """
    try:
        firsts = read_json(paths.recommendations_info)["firsts"]
        return UserParts(tuple(map(str, firsts)))
    except (OSError, ValueError, KeyError, TypeError):
        return ONE_PART


def read_recommendations(
    config: NightlyConfig, paths: NightPaths, parts: UserParts, number: int
) -> pl.DataFrame:
    """Reads the recommendations of one part.

    Returns:
        `RECOMMENDATION_SCHEMA` and `expected_views`, sorted by user and rank.

    Raises:
        PlanError: The recommendations are missing, damaged or empty.
    """
    path = paths.recommendations_of(number, len(parts))
    frame = read_table(path, "recommend")
    if frame.schema != RECOMMENDATION_SCHEMA:
        raise PlanError(
            f"the recommendations have columns {dict(frame.schema)}, "
            f"not {dict(RECOMMENDATION_SCHEMA)}",
            location=str(path),
            remedy="Run `pigeon-rec nightly recommend` for this date again",
        )
    if frame.is_empty():
        raise PlanError(
            f"nothing to plan for {paths.run_id}: there are 0 recommendations",
            location=f"{path}, made by {recommendation_source(config)}",
            remedy="Check the recommender's input and the logical date",
        )
    # One row per pair, whichever program wrote the file: repeated rows would multiply in joins.
    return (
        frame.sort("user_id", "rank", "item_id")
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .with_columns(expected_views().alias("expected_views"))
    )


def recommendation_source(config: NightlyConfig) -> str:
    """Returns the name of the recommender, or the given file, for messages and summaries."""
    if config.recommendations == "recbole":
        return f"RecBole {config.recommender.model}"
    return config.recommendations


def problem_rows(problems: Sequence[Problem]) -> pl.DataFrame:
    """Returns problems as rows of the table `problems`."""
    rows = [(p.kind, p.subject, p.location, p.message) for p in problems]
    return pl.DataFrame(rows, schema=NIGHT_SCHEMAS["problems"], orient="row")
