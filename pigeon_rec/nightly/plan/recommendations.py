"""The recommendations of a night: a recommender's top-K, trained here or given as a file."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Problem, load_catalogue
from pigeon_rec.data.ids import unmet_ids
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.opt_out import opt_out_file, read_opt_outs, without_opted_out
from pigeon_rec.data.recommendations import (
    group_by_front_item,
    load_recommendations,
    rank_recommendations,
)
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.nightly.plan.inputs import problem_rows, recommendation_source
from pigeon_rec.runtime.digests import digest, frame_sha256
from pigeon_rec.runtime.files import read_json, read_parquet, write_json, write_parquet
from pigeon_rec.runtime.progress import Progress, silent

__all__ = ["RecommendSummary", "recommend"]


@dataclass(frozen=True)
class RecommendSummary:
    """Source and number of the night's recommendations.

    Attributes:
        source: Name of the recommender, or the given file.
        problems: Rows of a given file that were left out.
        kept: True if the file was there already, made from the same interactions and settings.
    """

    path: Path
    source: str
    recommendations: int
    users: int
    problems: int
    kept: bool


def recommend(
    config: NightlyConfig, date: dt.date, *, progress: Progress = silent
) -> RecommendSummary:
    """Writes `recommendations.parquet` of the night: `user_id, item_id, score, rank`.

    With `recommendations: recbole` the recommender is trained on all interactions up to the end of
    `date`; the file is kept if they and the settings are unchanged. A given parquet file is
    checked: rows without ids or a finite score go to `recommendation_problems.parquet`. A given
    `.pth` is a saved `PigeonRecommender`, which recommends from the data it was trained on.

    Raises:
        ConfigError: The recommender's model does not exist or is of the wrong kind.
        ModelError: The saved recommender cannot be read.
        PlanError: There are no interactions, or the given file is unusable.
    """
    paths = NightPaths.of(config, date)
    kept, problems = None, list[Problem]()
    if config.recommendations == "recbole":
        interactions = _interactions(config, paths)
        made_from: dict[str, Any] = {
            "source": recommendation_source(config),
            "recommender": config.recommender.model_dump(mode="json"),
            "seed": config.seed,
            "interactions_sha256": frame_sha256(interactions),
        }
        kept = _kept(paths, made_from)
        table = _train(config, paths, interactions, progress) if kept is None else kept
    else:
        made_from = {"source": config.recommendations}
        table, problems = _given(config)
    if kept is None:
        _write(paths, table, problems, made_from)
    return RecommendSummary(
        path=paths.recommendations,
        source=recommendation_source(config),
        recommendations=table.height,
        users=table["user_id"].n_unique(),
        problems=len(problems),
        kept=kept is not None,
    )


def _interactions(config: NightlyConfig, paths: NightPaths) -> pl.DataFrame:
    catalogue = load_catalogue(config.catalogue)
    interactions, problems = load_interactions(
        config.interactions, catalogue, until=end_of_day(paths.date)
    )
    unknown = [problem.subject for problem in problems if problem.kind == "unknown_item"]
    if interactions.is_empty() and unknown:
        raise PlanError(
            "no interaction is with an item of the catalogue: "
            + unmet_ids("interactions", unknown, "the catalogue", catalogue.item_ids),
            location=f"{config.interactions} and {config.catalogue}",
            remedy="Write the ids alike in both tables",
        )
    if interactions.is_empty():
        raise PlanError(
            f"there are no interactions up to the end of {paths.run_id} to recommend from",
            location=config.interactions,
            remedy="Check the file and the logical date",
        )
    return group_by_front_item(interactions, catalogue, config.recommender.group_by)


def _train(
    config: NightlyConfig, paths: NightPaths, interactions: pl.DataFrame, progress: Progress
) -> pl.DataFrame:
    from pigeon_rec.recbole_plugin.top_k import export_top_k

    return export_top_k(
        interactions,
        config.recommender,
        seed=config.seed % 2**32,  # RecBole seeds numpy, which takes no more
        work_dir=paths.recbole,
        on_epoch=lambda done, total: progress("recommender epochs", done, total),
    )


def _given(config: NightlyConfig) -> tuple[pl.DataFrame, list[Problem]]:
    source = Path(config.recommendations)
    if source.suffix == ".pth":
        table, problems = rank_recommendations(_of_checkpoint(config, source), str(source))
    else:
        table, problems = load_recommendations(source)
    if table.is_empty():
        raise PlanError(
            f"the file holds no usable recommendation ({len(problems)} rows were refused)",
            location=str(source),
            remedy="Write rows of user_id, item_id and a finite score",
        )
    return table, problems


def _of_checkpoint(config: NightlyConfig, source: Path) -> pl.DataFrame:
    """The best items of every user of a saved recommender."""
    from pigeon_rec.recbole_plugin.model_top_k import checkpoint_top_k

    top = checkpoint_top_k(source, config.recommender.top_k)
    top = without_opted_out(top, read_opt_outs(opt_out_file(config.work_dir)))
    return top.select("user_id", "item_id", pl.col("score").cast(pl.Float64()))


def _kept(paths: NightPaths, made_from: dict[str, Any]) -> pl.DataFrame | None:
    """Returns the recommendations of an earlier run if its inputs and its file are unchanged."""
    try:
        info = read_json(paths.recommendations_info)
        table = read_parquet(paths.recommendations)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return None
    same = isinstance(info, dict) and info.get("made_from_sha256") == digest(made_from)
    return table if same and info.get("sha256") == frame_sha256(table) else None


def _write(
    paths: NightPaths, table: pl.DataFrame, problems: list[Problem], made_from: dict[str, Any]
) -> None:
    # The description last: recommendations without it are made again.
    paths.recommendations_info.unlink(missing_ok=True)
    write_parquet(table, paths.recommendations)
    write_parquet(problem_rows(problems), paths.recommendation_problems)
    info = {
        **made_from,
        "made_from_sha256": digest(made_from),
        "recommendations": table.height,
        "sha256": frame_sha256(table),
    }
    write_json(info, paths.recommendations_info)
