"""The pairs a night may choose from: a recommender's top-K, trained here or given as a file."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.runtime.digests import digest, frame_sha256
from pigeon_rec.runtime.files import write_json, write_parquet
from pigeon_rec.runtime.progress import Progress, silent

__all__ = ["PROBLEM_SCHEMA", "RECOMMENDATION_SCHEMA", "RecommendSummary", "recommend"]

RECOMMENDATION_SCHEMA: Final = pl.Schema(
    {"user_id": pl.String(), "item_id": pl.String(), "score": pl.Float32(), "rank": pl.Int32()}
)
PROBLEM_SCHEMA: Final = pl.Schema(
    {"kind": pl.String(), "subject": pl.String(), "location": pl.String(), "message": pl.String()}
)


@dataclass(frozen=True)
class RecommendSummary:
    """Where tonight's recommendations come from, and how many there are.

    Attributes:
        path: The file of recommendations.
        source: Name of the recommender, or the file that was given.
        recommendations: Pairs in it.
        users: People among them.
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
    """Writes `recommendations.parquet` of the night: `user_id, item_id, score f32, rank i32`.

    With `recommendations: recbole` the recommender learns from all interactions up to the end of
    `date`; running again for the same ones keeps the file. A given parquet file is checked, and
    rows without ids or a finite score are listed in `recommendation_problems.parquet`. A given
    `.pth` is a saved `PigeonRecommender`, which recommends from the data it was trained on.

    Raises:
        ConfigError: The recommender's model does not exist or is of the wrong kind.
        ModelError: The saved recommender cannot be read.
        PlanError: There is nothing to recommend from, or the given file is unusable.
    """
    paths = NightPaths.of(config, date)
    if config.recommendations == "recbole":
        return _trained(config, paths, progress)
    source = Path(config.recommendations)
    given = _of_checkpoint(config, source) if source.suffix == ".pth" else _read(source)
    recommendations, problems = _checked(given, source)
    if recommendations.is_empty():
        raise PlanError(
            f"the file holds no usable recommendation ({problems.height} rows were refused)",
            location=str(source),
            remedy="Write rows of user_id, item_id and a finite score",
        )
    return _write(paths, recommendations, problems, str(source), {"source": str(source)})


def _trained(config: NightlyConfig, paths: NightPaths, progress: Progress) -> RecommendSummary:
    catalogue = load_catalogue(config.catalogue)
    interactions, _ = load_interactions(
        config.interactions, catalogue, until=end_of_day(paths.date)
    )
    if interactions.is_empty():
        raise PlanError(
            f"there are no interactions up to the end of {paths.run_id} to recommend from",
            location=config.interactions,
            remedy="Check the file and the logical date",
        )
    interactions = _by_front_item(interactions, catalogue, config.recommender.group_by)
    source = f"RecBole {config.recommender.model}"
    made_from = {
        "source": source,
        "recommender": config.recommender.model_dump(mode="json"),
        "seed": config.seed,
        "interactions_sha256": frame_sha256(interactions),
    }
    kept = _kept(paths, made_from)
    if kept is not None:
        return _summary(paths, kept, pl.DataFrame(schema=PROBLEM_SCHEMA), source, kept=True)
    from pigeon_rec.recbole_plugin.top_k import export_top_k

    recommendations = export_top_k(
        interactions,
        config.recommender,
        seed=config.seed,
        work_dir=paths.recbole,
        on_epoch=lambda done, total: progress("recommender epochs", done, total),
    )
    return _write(paths, recommendations, pl.DataFrame(schema=PROBLEM_SCHEMA), source, made_from)


def _by_front_item(interactions: pl.DataFrame, catalogue: Catalogue, group_by: str) -> pl.DataFrame:
    """Interactions with every item replaced by the most chosen item of its group (ties by id)."""
    if group_by not in catalogue.items.columns:
        return interactions
    groups = catalogue.items.select("item_id", pl.col(group_by).alias("group"))
    grouped = interactions.join(groups, on="item_id", how="left", maintain_order="left")
    counts = grouped.drop_nulls("group").group_by("group", "item_id").len()
    fronts = counts.sort(["len", "item_id"], descending=[True, False]).unique(
        "group", keep="first", maintain_order=True
    )
    front = fronts.select("group", pl.col("item_id").alias("front"))
    return (
        grouped.join(front, on="group", how="left", maintain_order="left")
        .with_columns(item_id=pl.coalesce("front", "item_id"))
        .select(interactions.columns)
    )


def _kept(paths: NightPaths, made_from: dict[str, object]) -> pl.DataFrame | None:
    """The recommendations of an earlier run, if its inputs and its file are unchanged."""
    try:
        info = json.loads(paths.recommendations_info.read_text(encoding="utf-8"))
        recommendations = pl.read_parquet(paths.recommendations)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return None
    same = isinstance(info, dict) and info.get("made_from_sha256") == digest(made_from)
    return recommendations if same and info.get("sha256") == frame_sha256(recommendations) else None


def _of_checkpoint(config: NightlyConfig, source: Path) -> pl.DataFrame:
    """The best items of every user of a saved recommender."""
    from pigeon_rec.recbole_plugin.model_top_k import checkpoint_top_k

    top = checkpoint_top_k(source, config.recommender.top_k)
    return top.select("user_id", "item_id", pl.col("score").cast(pl.Float64()))


def _read(source: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(source)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PlanError(
            f"cannot read the recommendations: {error}",
            location=str(source),
            remedy="Give a parquet file of user_id, item_id, score, or `recbole`",
        ) from error
    missing = [name for name in ("user_id", "item_id", "score") if name not in frame.columns]
    if missing:
        raise PlanError(f"columns are missing: {', '.join(missing)}", location=str(source))
    for name in ("user_id", "item_id"):
        if frame.schema[name] != pl.String():
            raise PlanError(
                f"column {name} holds {frame.schema[name]}, not strings",
                location=str(source),
                remedy="Ids are strings: cast the column",
            )
    if not frame.schema["score"].is_numeric():
        raise PlanError(
            f"column score holds {frame.schema['score']}, not numbers", location=str(source)
        )
    return frame.select("user_id", "item_id", pl.col("score").cast(pl.Float64()))


def _checked(frame: pl.DataFrame, source: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ranked recommendations, one row a pair, and the rows that are none, in `PROBLEM_SCHEMA`."""
    rows = frame.with_row_index("row", offset=1)
    named = pl.all_horizontal(pl.col("user_id", "item_id").fill_null("") != "")
    scored = pl.col("score").cast(pl.Float32()).is_finite().fill_null(value=False)
    usable = rows.filter(named & scored).sort(
        ["user_id", "score", "item_id", "row"], descending=[False, True, False, False]
    )
    best = usable.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    recommendations = best.select(
        "user_id",
        "item_id",
        pl.col("score"),
        pl.int_range(1, pl.len() + 1).over("user_id").alias("rank"),
    ).cast(RECOMMENDATION_SCHEMA)
    problems = [
        _problems(rows.filter(~named), "bad_recommendation", "user_id or item_id is empty", source),
        _problems(rows.filter(named & ~scored), "bad_recommendation", "score is no number", source),
        _problems(
            usable.join(best, on="row", how="anti"),
            "duplicate_recommendation",
            "the pair stands there with a better score",
            source,
        ),
    ]
    return recommendations, pl.concat(problems)


def _problems(rows: pl.DataFrame, kind: str, message: str, source: Path) -> pl.DataFrame:
    ids = pl.col("user_id", "item_id").fill_null("?")
    return rows.sort("row").select(
        pl.lit(kind).alias("kind"),
        pl.concat_str(ids, separator=" / ").alias("subject"),
        pl.format("{}, row {}", pl.lit(str(source)), "row").alias("location"),
        pl.lit(message).alias("message"),
    )


def _write(
    paths: NightPaths,
    recommendations: pl.DataFrame,
    problems: pl.DataFrame,
    source: str,
    made_from: dict[str, object],
) -> RecommendSummary:
    # The description last: recommendations without it are made again.
    paths.recommendations_info.unlink(missing_ok=True)
    write_parquet(recommendations, paths.recommendations)
    write_parquet(problems, paths.recommendation_problems)
    info = {
        **made_from,
        "made_from_sha256": digest(made_from),
        "recommendations": recommendations.height,
        "sha256": frame_sha256(recommendations),
    }
    write_json(info, paths.recommendations_info)
    return _summary(paths, recommendations, problems, source, kept=False)


def _summary(
    paths: NightPaths,
    recommendations: pl.DataFrame,
    problems: pl.DataFrame,
    source: str,
    *,
    kept: bool,
) -> RecommendSummary:
    return RecommendSummary(
        path=paths.recommendations,
        source=source,
        recommendations=recommendations.height,
        users=recommendations["user_id"].n_unique(),
        problems=problems.height,
        kept=kept,
    )
