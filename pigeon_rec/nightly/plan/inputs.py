"""Inputs of a plan: catalogue, interactions and recommendations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Catalogue, Problem, load_catalogue
from pigeon_rec.data.ids import unmet_ids
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.errors import PlanError
from pigeon_rec.inputs.prepare import import_problems
from pigeon_rec.nightly.files import read_table
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.nightly.plan.choice import expected_views
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = [
    "PlanInputs",
    "problem_rows",
    "read_inputs",
    "recommendation_source",
]


@dataclass(frozen=True)
class PlanInputs:
    """Everything that is read before planning, checked.

    Attributes:
        interactions: Of the recommendations' users, up to the end of the date; known items only.
        recommendations: `RECOMMENDATION_SCHEMA` and `expected_views`, sorted by user and rank.
        users: All users with interactions with known items, up to the end of the date.
        problems: Problems found in any of them, as rows of the table `problems`.
        as_of: End of the date.
    """

    prompt: PromptTemplate
    catalogue: Catalogue
    interactions: pl.DataFrame
    recommendations: pl.DataFrame
    users: pl.Series
    problems: pl.DataFrame
    as_of: dt.datetime

    def fault(self) -> tuple[str, str] | None:
        """Says which ids do not meet, and what to do, if that leaves nothing to plan."""
        remedy = "Write the ids alike in both tables"
        wanted, known = self.recommendations["item_id"].unique(), self.catalogue.item_ids
        if not wanted.is_in(known).any():
            apart = unmet_ids("the recommendations", wanted.sort(), "the catalogue", known)
            return f": their items are not in the catalogue; {apart}", remedy
        if self.interactions.is_empty() and self.users.len():
            wanted = self.recommendations["user_id"].unique().sort()
            apart = unmet_ids("the recommendations", wanted, "the interactions", self.users)
            return f": none of their users has an interaction; {apart}", remedy
        return None


def read_inputs(config: NightlyConfig, paths: NightPaths) -> PlanInputs:
    """Reads and checks all inputs of the night's plan.

    Raises:
        ConfigError: There is no such scenario, or the catalogue lacks a column that it names.
        CatalogueError: The catalogue is unusable.
        InteractionError: The interactions are unusable.
        PlanError: The recommendations are missing, damaged or empty.
    """
    prompt = load_prompt(config.scenario)
    catalogue = load_catalogue(config.catalogue, prompt.aspect)
    prompt.check_columns(catalogue.text_columns, config.catalogue)
    recommendations = _read_recommendations(config, paths)
    until = end_of_day(paths.date)
    interactions, unknown = load_interactions(config.interactions, catalogue, until=until)
    of_recommendations = interactions.join(
        recommendations.select("user_id").unique(), on="user_id", how="semi", maintain_order="left"
    )
    problems = problem_rows([*catalogue.problems, *unknown, *import_problems(config)])
    if paths.recommendation_problems.is_file():
        schema = NIGHT_SCHEMAS["problems"]
        left_out = read_table(paths.recommendation_problems, "recommend", schema)
        problems = pl.concat([problems, left_out])
    users = interactions["user_id"].unique().sort()
    return PlanInputs(
        prompt, catalogue, of_recommendations, recommendations, users, problems, until
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


def _read_recommendations(config: NightlyConfig, paths: NightPaths) -> pl.DataFrame:
    frame = read_table(paths.recommendations, "recommend")
    if frame.schema != RECOMMENDATION_SCHEMA:
        raise PlanError(
            f"the recommendations have columns {dict(frame.schema)}, "
            f"not {dict(RECOMMENDATION_SCHEMA)}",
            location=str(paths.recommendations),
            remedy="Run `pigeon-rec nightly recommend` for this date again",
        )
    if frame.is_empty():
        raise PlanError(
            f"nothing to plan for {paths.run_id}: there are 0 recommendations",
            location=f"{paths.recommendations}, made by {recommendation_source(config)}",
            remedy="Check the recommender's input and the logical date",
        )
    # One row per pair, whichever program wrote the file: repeated rows would multiply in joins.
    return (
        frame.sort("user_id", "rank", "item_id")
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .with_columns(expected_views().alias("expected_views"))
    )
