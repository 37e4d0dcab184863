"""The recommendations of a night: a recommender's top-K, trained here or given as a file."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.ids import unmet_ids
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.opt_out import opt_out_file, read_opt_outs, without_opted_out
from pigeon_rec.data.parts import UserParts, divide_users, scatter, scattered
from pigeon_rec.data.recommendations import (
    RECOMMENDATION_SCHEMA,
    RecommendationTable,
    group_by_front_item,
    scan_recommendations,
)
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.nightly.plan.inputs import recommendation_source
from pigeon_rec.runtime.digests import RowsSum, digest, frame_sha256
from pigeon_rec.runtime.files import (
    read_json,
    read_parquet,
    sink_parquet,
    write_json,
    write_parquet,
)
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.warehouse import NIGHT_SCHEMAS

__all__ = ["RecommendSummary", "recommend"]


@dataclass(frozen=True)
class RecommendSummary:
    """Source and number of the night's recommendations.

    Attributes:
        source: Name of the recommender, or the given file.
        path: The file, or the folder of one file per part.
        problems: Rows of a given file that were left out.
        parts: Number of parts that the night is planned in.
        kept: True if the file was there already, made from the same interactions and settings.
    """

    path: Path
    source: str
    recommendations: int
    users: int
    problems: int
    parts: int
    kept: bool


def recommend(
    config: NightlyConfig, date: dt.date, *, progress: Progress = silent
) -> RecommendSummary:
    """Writes `recommendations.parquet` of the night: `user_id, item_id, score, rank`.

    With more than `plan.users_per_part` users, one file per part of the users is written instead;
    a given table is never held in memory then.

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
    source = recommendation_source(config)
    if config.recommendations == "recbole":
        interactions = _interactions(config, paths)
        made_from: dict[str, Any] = {
            "source": source,
            "recommender": config.recommender.model_dump(mode="json"),
            "seed": config.seed,
            "users_per_part": config.plan.users_per_part,
            "interactions_sha256": frame_sha256(interactions),
        }
        kept = _kept(paths, made_from)
        if kept is not None:
            return _summary(paths, source, kept, kept=True)
        table = _table(_train(config, paths, interactions, progress), source)
    else:
        made_from = {"source": config.recommendations}
        table = _given(config)
    info = _write(paths, table, divide_users(table.usable(), config.plan.users_per_part))
    write_json(
        {**made_from, **info, "made_from_sha256": digest(made_from)}, paths.recommendations_info
    )
    return _summary(paths, source, info, kept=False)


def _summary(
    paths: NightPaths, source: str, info: Mapping[str, Any], *, kept: bool
) -> RecommendSummary:
    parts = len(info["firsts"]) + 1
    return RecommendSummary(
        path=paths.recommendations if parts == 1 else paths.recommendation_parts,
        source=source,
        recommendations=info["recommendations"],
        users=info["users"],
        problems=0 if kept else info["problems"],
        parts=parts,
        kept=kept,
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


def _given(config: NightlyConfig) -> RecommendationTable:
    source = Path(config.recommendations)
    if source.suffix == ".pth":
        return _table(_of_checkpoint(config, source), str(source))
    return scan_recommendations(source)


def _table(top: pl.DataFrame, source: str) -> RecommendationTable:
    return RecommendationTable.of(top.lazy().select("user_id", "item_id", "score"), source)


def _of_checkpoint(config: NightlyConfig, source: Path) -> pl.DataFrame:
    """The best items of every user of a saved recommender."""
    from pigeon_rec.recbole_plugin.model_top_k import checkpoint_top_k

    top = checkpoint_top_k(source, config.recommender.top_k)
    top = without_opted_out(top, read_opt_outs(opt_out_file(config.work_dir)))
    return top.select("user_id", "item_id", pl.col("score").cast(pl.Float64()))


def _kept(paths: NightPaths, made_from: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the description of an earlier run's recommendations if nothing has changed since."""
    try:
        info: dict[str, Any] = read_json(paths.recommendations_info)
        parts = len(info["firsts"]) + 1
        files = (read_parquet(paths.recommendations_of(part, parts)) for part in range(parts))
        found = sum(map(RowsSum.of, files), RowsSum())
        same = info["made_from_sha256"] == digest(made_from)
        whole = info["sha256"] == found.sha256(list(RECOMMENDATION_SCHEMA))
        return info if same and whole else None
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        return None


def _write(paths: NightPaths, table: RecommendationTable, parts: UserParts) -> dict[str, Any]:
    """Writes the recommendations of all parts and what is left out, and describes them."""
    # The description last: recommendations without it are made again.
    paths.recommendations_info.unlink(missing_ok=True)
    shutil.rmtree(paths.recommendation_parts, ignore_errors=True)
    raw, repeated = paths.recommendation_parts / "raw", []
    total, users = RowsSum(), 0
    usable = table.usable()
    if len(parts) > 1:
        paths.recommendations.unlink(missing_ok=True)
        scatter(usable, parts, raw)
        divided = scattered(usable, parts, raw)
    else:
        divided = iter([usable.collect(engine="streaming")])
    for part, rows in enumerate(divided):
        ranked, again = table.rank(rows)
        write_parquet(ranked, paths.recommendations_of(part, len(parts)))
        total += RowsSum.of(ranked)
        users += ranked["user_id"].n_unique()
        repeated.append(again)
    shutil.rmtree(raw, ignore_errors=True)
    left_out = pl.concat([table.bad(), *(again.lazy() for again in repeated)])
    sink_parquet(left_out.cast(NIGHT_SCHEMAS["problems"]), paths.recommendation_problems)
    problems = pl.scan_parquet(paths.recommendation_problems).select(pl.len()).collect().item()
    if not total.rows:
        raise PlanError(
            f"the file holds no usable recommendation ({problems} rows were refused)",
            location=table.source,
            remedy="Write rows of user_id, item_id and a finite score",
        )
    return {
        "firsts": list(parts.firsts),
        "problems": problems,
        "recommendations": total.rows,
        "sha256": total.sha256(list(RECOMMENDATION_SCHEMA)),
        "users": users,
    }
