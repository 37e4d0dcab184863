"""Inputs of a plan: catalogue, interactions, recommendations and the embeddings of items."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Catalogue, Problem, load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.errors import PlanError
from pigeon_rec.inputs.prepare import import_problems
from pigeon_rec.nightly.files import read_table
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.nightly.plan.choice import expected_views
from pigeon_rec.retrieval import (
    EmbeddingCache,
    SharedPictures,
    embed_catalogue,
    shared_pictures,
)
from pigeon_rec.runtime.progress import Progress
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = [
    "ImageEncoder",
    "ItemEmbeddings",
    "PlanInputs",
    "embed_items",
    "problem_rows",
    "read_inputs",
    "recommendation_source",
]


class ImageEncoder(Protocol):
    """The part of a scorer that planning uses (`pigeon_rec.scoring.scorer.Scorer`)."""

    encoder_id: str

    def encode_images(self, images: npt.NDArray[np.uint8], /) -> npt.NDArray[np.float32]:
        """uint8 `[n, size, size, 3]` -> float32 `[n, dim]`."""


@dataclass(frozen=True)
class PlanInputs:
    """Everything that is read before planning, checked.

    Attributes:
        interactions: Of the recommendations' users, up to the end of the date; known items only.
        recommendations: `RECOMMENDATION_SCHEMA` and `expected_views`, sorted by user and rank.
        problems: Problems found in any of them, as rows of the table `problems`.
        as_of: End of the date.
    """

    prompt: PromptTemplate
    catalogue: Catalogue
    interactions: pl.DataFrame
    recommendations: pl.DataFrame
    problems: pl.DataFrame
    as_of: dt.datetime


@dataclass(frozen=True)
class ItemEmbeddings:
    """Image embeddings of all recommended and interacted items.

    Attributes:
        item_ids: Items, sorted.
        vectors: Unit float32 `[n, dim]`; zero rows for broken images.
        broken: Items whose image cannot be used, with the reason.
        shared: Images of several items, and placeholders among them.
        problems: The broken images and placeholders as rows of the table `problems`.
    """

    item_ids: list[str]
    vectors: npt.NDArray[np.float32]
    broken: Mapping[str, str]
    shared: SharedPictures
    problems: pl.DataFrame

    def usable(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Returns the rows whose `item_id` has an image of its own that is not broken."""
        unusable = [*self.broken, *self.shared.placeholders]
        return rows.filter(~pl.col("item_id").is_in(unusable))

    def histories(self, interactions: pl.DataFrame) -> pl.DataFrame:
        """Returns the usable interactions, of each user's equal images only the latest."""
        return self.shared.once(self.usable(interactions))


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
    return PlanInputs(prompt, catalogue, of_recommendations, recommendations, problems, until)


def embed_items(
    inputs: PlanInputs,
    encoder: ImageEncoder,
    paths: NightPaths,
    placeholder_share: float,
    progress: Progress,
) -> ItemEmbeddings:
    """Embeds every recommended and interacted item; vectors are cached by image hash."""
    wanted = pl.concat([inputs.recommendations["item_id"], inputs.interactions["item_id"]]).unique()
    known = wanted.filter(wanted.is_in(inputs.catalogue.items["item_id"].implode()))
    item_ids = known.sort().to_list()
    # The same file stretched to a square is another image to the encoder.
    stretched = "" if inputs.catalogue.aspect.is_square else "/stretched"
    vectors, problems = embed_catalogue(
        inputs.catalogue,
        item_ids,
        encoder.encode_images,
        EmbeddingCache(paths.embeddings, f"{encoder.encoder_id}{stretched}"),
        on_batch=lambda done, total: progress("item images", done, total),
    )
    broken = {problem.subject: f"{problem.message} [{problem.location}]" for problem in problems}
    shared = shared_pictures(inputs.catalogue, placeholder_share)
    problems = [*problems, *shared.problems]
    return ItemEmbeddings(item_ids, vectors, broken, shared, problem_rows(problems))


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
