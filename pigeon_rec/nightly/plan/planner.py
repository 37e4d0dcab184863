"""Planning a night: which requests are drawn, from which history and in which shard.

1. What all users share is made: item vectors, taste cohorts, versions (`split`).
2. In each part of the users, recommendations that cannot be personalised are skipped, with a
   reason, and retrieval finds a history for each of the others (`part`).
3. Of all parts and the cohorts, the requests of highest priority within the budget are chosen
   (`merge`).
4. A key over everything that determines a picture decides whether the warehouse has it already.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.ids import unmet_ids
from pigeon_rec.data.interactions import INTERACTION_SCHEMA
from pigeon_rec.data.recommendations import RECOMMENDATION_SCHEMA
from pigeon_rec.drawing.keys import KeyContext
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.files import PLAN_SCHEMA
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan.choice import IS_COHORT, PAIR, left_out
from pigeon_rec.nightly.plan.inputs import night_parts, recommendation_source
from pigeon_rec.nightly.plan.merge import (
    KeyedRequests,
    choose_requests,
    shared_requests,
    write_decisions,
    write_users,
)
from pigeon_rec.nightly.plan.part import PartSummary, plan_part, read_part
from pigeon_rec.nightly.plan.split import Split, read_split, split_night
from pigeon_rec.retrieval import ImageEncoder
from pigeon_rec.runtime.digests import RowsSum, frame_sha256
from pigeon_rec.runtime.files import write_json, write_parquet
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.warehouse import known_assets
from pigeon_rec.warehouse.budget import night_budget

__all__ = ["PlanSummary", "plan_night", "plan_parts", "split_users"]


_WITHOUT_FAULT = (
    "",
    "Check interactions, catalogue and logical date, or lower plan.min_interactions",
)


@dataclass(frozen=True)
class PlanSummary:
    """Numbers of a plan; also the content of `plan.json`.

    Attributes:
        recommendations: Pairs the recommender proposed.
        planned: Requests to be served, those of cohorts included.
        cohorts: Taste cohorts that users belong to.
        cohort_requests: Planned requests of cohorts.
        budget: Pictures that could be planned at most.
        seconds_per_asset: Expected time of drawing one, from `measured_nights` earlier nights.
        generate: Planned requests whose picture must be drawn.
        reuse: Planned requests whose picture (or its rejection) is in the warehouse.
        reasons: Recommendations that cannot be personalised, by reason.
        left_out: Recommendations beyond the night's limits, by limit.
        refused_before: Requests that are not drawn again, by the reason that an earlier night
            refused them for.
        problems: Bad items, images, users and rows.
        shard_sizes: Pictures to draw in each shard.
        encoder_id: Encoder that found the histories.
        settings_hash: Hash of how pictures are drawn, chosen and gated.
        recommendations_sha256: Hash of the recommendations, whatever their order.
        interactions_sha256: The same of their users' interactions up to the end of the date.
        requests_sha256: Hash of the requests and their keys, whether reused or not.
    """

    run_id: str
    recommendations: int
    planned: int
    users: int
    cohorts: int
    cohort_requests: int
    budget: int
    seconds_per_asset: float
    measured_nights: int
    generate: int
    reuse: int
    skipped: int
    reasons: Mapping[str, int]
    left_out: Mapping[str, int]
    refused_before: Mapping[str, int]
    problems: int
    shard_sizes: Sequence[int]
    model_version: str
    encoder_id: str
    settings_hash: str
    seed: int
    recommendations_sha256: str
    interactions_sha256: str
    requests_sha256: str


def plan_night(
    config: NightlyConfig,
    date: dt.date,
    *,
    progress: Progress = silent,
    encoder: ImageEncoder | None = None,
    model_version: str | None = None,
) -> PlanSummary:
    """Writes the plan of the night: requests, cohorts, the decision on every pair, and a summary.

    The same inputs give the same requests and keys, whatever pictures the warehouse holds; those
    only decide between `generate` and `reuse`. Rejections of earlier nights are an input too, and
    with a budget in minutes their drawing times. Interactions after the end of `date` (UTC) are not
    read.

    Parts that have been planned (`plan_parts`) are taken as they are, the others are planned here.
    The result does not depend on the number of parts. Their files are removed at the end.

    Histories are found by `encoder` and keys contain `model_version`; by default they are the
    scorer and the version of `config.model`.

    Raises:
        PigeonError: An input is missing or malformed.
        PlanError: There are no recommendations, or none that can be personalised. The skipped ones
            are still written; the plan of an earlier run is removed.
    """
    paths = NightPaths.of(config, date)
    # If this run fails, no later step may use the plan of an earlier one.
    paths.plan_info.unlink(missing_ok=True)
    paths.plan.unlink(missing_ok=True)
    made = read_split(config, date, encoder=encoder, model_version=model_version)
    split = made or split_night(
        config, date, progress=progress, encoder=encoder, model_version=model_version
    )
    summary = _merged(config, paths, split, _planned_parts(config, paths, split, progress))
    write_json(dataclasses.asdict(summary), paths.plan_info)
    shutil.rmtree(paths.parts)
    return summary


def split_users(
    config: NightlyConfig,
    date: dt.date,
    *,
    progress: Progress = silent,
    encoder: ImageEncoder | None = None,
    model_version: str | None = None,
) -> list[int]:
    """Divides the users of a night into parts, for `plan_parts`, and returns their numbers.

    A night with a single part is left to `plan_night`: there are no numbers then, and nothing is
    written. For the arguments see `plan_night`.

    Raises:
        PigeonError: An input is missing or malformed.
    """
    count = len(night_parts(NightPaths.of(config, date)))
    if count == 1:
        return []
    split_night(config, date, progress=progress, encoder=encoder, model_version=model_version)
    return list(range(count))


def plan_parts(
    config: NightlyConfig,
    date: dt.date,
    part: int | None = None,
    *,
    progress: Progress = silent,
    encoder: ImageEncoder | None = None,
    model_version: str | None = None,
) -> list[PartSummary]:
    """Plans one part of a night that has been split, or all that have not been planned yet.

    For the other arguments see `plan_night`.

    Raises:
        PlanError: The night has not been split with these settings and tables, or has no such part.
    """
    paths = NightPaths.of(config, date)
    split = read_split(config, date, encoder=encoder, model_version=model_version)
    if split is None:
        raise PlanError(
            "the users are not divided into parts, or settings or tables have changed since",
            location=str(paths.split.info),
            remedy="Run `pigeon-rec nightly split` for this date first; a night with a single part "
            "needs only `pigeon-rec nightly plan`",
        )
    if part is not None:
        return [plan_part(config, paths, split, part)]
    return _planned_parts(config, paths, split, progress)


def _planned_parts(
    config: NightlyConfig, paths: NightPaths, split: Split, progress: Progress
) -> list[PartSummary]:
    """Returns the numbers of all parts, and plans those that have not been planned."""
    count, found = len(split.parts), list[PartSummary]()
    for number in range(count):
        known = read_part(paths.part(number))
        found.append(known or plan_part(config, paths, split, number))
        if count > 1:
            progress("parts planned", number + 1, count)
    return found


def _merged(
    config: NightlyConfig, paths: NightPaths, split: Split, summaries: Sequence[PartSummary]
) -> PlanSummary:
    parts = [paths.part(number) for number in range(len(summaries))]
    problems = write_users(paths, parts, split.problems)
    reasons = Counter[str]()
    for part in summaries:
        reasons.update(part.reasons)
    context = split.context
    budget = night_budget(
        config.plan, paths.warehouse, paths.date, context.model_version, context.settings
    )
    requests = KeyedRequests(split, paths, config.plan.max_attempts)
    shared = shared_requests(config, parts, split)
    if shared.is_empty() and not any(part.pairs for part in summaries):
        raise _nothing_to_plan(config, paths, split, summaries, reasons)
    choice = choose_requests(config.plan, parts, shared, requests, budget.assets)
    plan = _plan(
        choice.requests, requests.keys(choice.requests), context, paths, config.plan.shards
    )
    decisions = write_decisions(paths, parts, choice, config.plan.max_assets_per_user)
    write_parquet(plan, paths.plan)
    recommendations = sum((part.recommendations for part in summaries), RowsSum())
    interactions = sum((part.interactions for part in summaries), RowsSum())
    cohorts = pl.scan_parquet(paths.cohorts).select(pl.col("cohort").n_unique())
    return PlanSummary(
        run_id=paths.run_id,
        recommendations=recommendations.rows,
        cohorts=int(cohorts.collect(engine="streaming").item()),
        budget=budget.assets,
        seconds_per_asset=budget.seconds_per_asset,
        measured_nights=budget.measured_nights,
        skipped=reasons.total(),
        reasons=dict(sorted(reasons.items())),
        left_out=left_out(decisions),
        refused_before=choice.refused_before,
        problems=problems,
        model_version=context.model_version,
        encoder_id=split.encoder_id,
        settings_hash=context.settings,
        seed=config.seed,
        recommendations_sha256=recommendations.sha256(list(RECOMMENDATION_SCHEMA)),
        interactions_sha256=interactions.sha256(list(INTERACTION_SCHEMA)),
        **_plan_facts(plan, config.plan.shards),
    )


def _plan(
    requests: pl.DataFrame, keys: pl.Series, context: KeyContext, paths: NightPaths, shards: int
) -> pl.DataFrame:
    """Returns the requests as `PLAN_SCHEMA`, in the same order.

    With reuse there are fewer shards, not smaller ones: each shard loads the model once.
    """
    known = known_assets(paths.warehouse, keys.to_list())["asset_key"]
    different = keys.n_unique()
    shards = max(1, math.ceil(shards * (different - known.len()) / max(1, different)))
    reused = pl.col("asset_key").is_in(known.implode())
    shard = keys.str.head(8).str.to_integer(base=16, dtype=pl.Int64()) % shards
    return (
        requests.with_columns(
            keys.alias("asset_key"),
            shard.cast(pl.Int32()).alias("shard"),
            pl.lit(context.model_version).alias("model_version"),
            pl.lit(context.settings).alias("settings_hash"),
        )
        .with_columns(
            pl.when(reused).then(pl.lit("reuse")).otherwise(pl.lit("generate")).alias("status")
        )
        .select(list(PLAN_SCHEMA))
    )


def _plan_facts(plan: pl.DataFrame, shards: int) -> dict[str, Any]:
    to_draw = plan.filter(pl.col("status") == "generate")
    sizes = dict(to_draw["shard"].value_counts().iter_rows())
    of_users = plan.filter(~IS_COHORT)
    return {
        "planned": plan.height,
        "users": of_users["user_id"].n_unique(),
        "cohort_requests": plan.height - of_users.height,
        "generate": to_draw.height,
        "reuse": plan.height - to_draw.height,
        "shard_sizes": [sizes.get(shard, 0) for shard in range(shards)],
        "requests_sha256": frame_sha256(plan.select(*PAIR, "asset_key")),
    }


def _nothing_to_plan(
    config: NightlyConfig,
    paths: NightPaths,
    split: Split,
    summaries: Sequence[PartSummary],
    reasons: Counter[str],
) -> PlanError:
    count = sum(part.recommendations.rows for part in summaries)
    counted = ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items()))
    why, remedy = split.items.fault() or _unmet(paths, split) or _WITHOUT_FAULT
    return PlanError(
        f"nothing to plan for {paths.run_id}: 0 of {count} recommendations "
        f"can be personalised ({counted}){why}",
        location=f"recommendations of {recommendation_source(config)}; "
        f"each pair's reason in {paths.skipped}",
        remedy=remedy,
    )


def _unmet(paths: NightPaths, split: Split) -> tuple[str, str] | None:
    """Says which ids do not meet, and what to do, if that leaves nothing to plan."""
    remedy = "Write the ids alike in both tables"
    skipped = pl.scan_parquet(paths.skipped)
    wanted, users = (
        skipped.select(name).unique().collect(engine="streaming")[name].sort()
        for name in ("item_id", "user_id")
    )
    known = split.catalogue.item_ids
    if not wanted.is_in(known).any():
        apart = unmet_ids("the recommendations", wanted, "the catalogue", known)
        return f": their items are not in the catalogue; {apart}", remedy
    if split.strangers:
        apart = unmet_ids("the recommendations", users, "the interactions", split.strangers)
        return f": none of their users has an interaction; {apart}", remedy
    return None
