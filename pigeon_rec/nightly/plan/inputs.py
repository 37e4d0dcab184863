"""What a plan is made from: catalogue, interactions, recommendations, and how the items look."""

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
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.nightly.plan.choice import expected_views
from pigeon_rec.nightly.plan.recommendations import PROBLEM_SCHEMA, RECOMMENDATION_SCHEMA
from pigeon_rec.retrieval import EmbeddingCache, embed_catalogue
from pigeon_rec.runtime.progress import Progress

__all__ = [
    "ImageEncoder",
    "Looks",
    "PlanInputs",
    "look",
    "problem_rows",
    "read_inputs",
    "recommendation_source",
]


class ImageEncoder(Protocol):
    """What planning needs of an encoder; `pigeon_rec.scoring.scorer.Scorer` is one."""

    encoder_id: str

    def encode_images(self, images: npt.NDArray[np.uint8], /) -> npt.NDArray[np.float32]:
        """uint8 `[n, size, size, 3]` -> float32 `[n, dim]`."""


@dataclass(frozen=True)
class PlanInputs:
    """Everything that is read before planning, checked.

    Attributes:
        prompt: Template of the instruction.
        catalogue: All items.
        interactions: Of the recommendations' users, up to the end of the date; known items only.
        recommendations: In `RECOMMENDATION_SCHEMA`, and `expected_views`, by user and rank.
        problems: What was wrong with any of it, in `PROBLEM_SCHEMA`.
        as_of: End of the date: what is from then on is not known yet.
    """

    prompt: PromptTemplate
    catalogue: Catalogue
    interactions: pl.DataFrame
    recommendations: pl.DataFrame
    problems: pl.DataFrame
    as_of: dt.datetime


@dataclass(frozen=True)
class Looks:
    """The images of all items that matter tonight.

    Attributes:
        item_ids: Items, sorted.
        vectors: Unit float32 `[n, dim]`, zero where broken.
        broken: Items whose image cannot be used, with what is wrong.
        problems: The same, in `PROBLEM_SCHEMA`.
    """

    item_ids: list[str]
    vectors: npt.NDArray[np.float32]
    broken: Mapping[str, str]
    problems: pl.DataFrame


def read_inputs(config: NightlyConfig, paths: NightPaths) -> PlanInputs:
    """Reads and checks all inputs of the night's plan.

    Raises:
        ConfigError: There is no such scenario.
        CatalogueError: The catalogue is unusable.
        InteractionError: The interactions are unusable.
        PlanError: There are no recommendations, or their file is damaged.
    """
    prompt = load_prompt(config.scenario)
    catalogue = load_catalogue(config.catalogue, prompt.aspect)
    recommendations = _read_recommendations(config, paths)
    until = end_of_day(paths.date)
    interactions, unknown = load_interactions(config.interactions, catalogue, until=until)
    of_recommendations = interactions.join(
        recommendations.select("user_id").unique(), on="user_id", how="semi", maintain_order="left"
    )
    problems = pl.concat([problem_rows(unknown), _recommendation_problems(paths)])
    return PlanInputs(prompt, catalogue, of_recommendations, recommendations, problems, until)


def look(
    inputs: PlanInputs,
    encoder: ImageEncoder,
    paths: NightPaths,
    progress: Progress,
) -> Looks:
    """Embeds every recommended and interacted item, and finds the broken images."""
    wanted = pl.concat([inputs.recommendations["item_id"], inputs.interactions["item_id"]]).unique()
    known = wanted.filter(wanted.is_in(inputs.catalogue.items["item_id"].implode()))
    item_ids = known.sort().to_list()
    vectors, problems = embed_catalogue(
        inputs.catalogue,
        item_ids,
        encoder.encode_images,
        EmbeddingCache(paths.embeddings, _view(encoder.encoder_id, inputs.catalogue)),
        on_batch=lambda done, total: progress("item images", done, total),
    )
    broken = {problem.subject: f"{problem.message} [{problem.location}]" for problem in problems}
    return Looks(item_ids, vectors, broken, problem_rows(problems))


def _view(encoder_id: str, catalogue: Catalogue) -> str:
    """Key of cached vectors: the same file stretched is another picture to the encoder."""
    return encoder_id if catalogue.aspect.is_square else f"{encoder_id}/stretched"


def recommendation_source(config: NightlyConfig) -> str:
    """How messages name the origin of the recommendations; no path of the work directory in it."""
    if config.recommendations == "recbole":
        return f"RecBole {config.recommender.model}"
    return config.recommendations


def problem_rows(problems: Sequence[Problem]) -> pl.DataFrame:
    """Problems as rows of `PROBLEM_SCHEMA`."""
    rows = [(p.kind, p.subject, p.location, p.message) for p in problems]
    return pl.DataFrame(rows, schema=PROBLEM_SCHEMA, orient="row")


def _read_recommendations(config: NightlyConfig, paths: NightPaths) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(paths.recommendations)
    except (OSError, pl.exceptions.PolarsError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise PlanError(
            "the night has no recommendations"
            if missing
            else f"cannot read the recommendations: {error}",
            location=str(paths.recommendations),
            remedy="Run `pigeon-rec nightly recommend` for this date first",
        ) from error
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
    # One row a pair whoever wrote the file: a repeated one would multiply in every join.
    return (
        frame.sort("user_id", "rank", "item_id")
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .with_columns(expected_views().alias("expected_views"))
    )


def _recommendation_problems(paths: NightPaths) -> pl.DataFrame:
    if not paths.recommendation_problems.is_file():
        return pl.DataFrame(schema=PROBLEM_SCHEMA)
    return pl.read_parquet(paths.recommendation_problems).select(list(PROBLEM_SCHEMA))
