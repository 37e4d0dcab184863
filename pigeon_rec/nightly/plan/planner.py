"""Planning a night: which requests are drawn, from which history and in which shard.

1. Recommendations that cannot be personalised are skipped, with a reason.
2. Retrieval finds a history for each remaining pair and for the requests of taste cohorts.
3. The requests of highest priority within the budget are chosen.
4. A key over everything that determines a picture decides whether the warehouse has it already.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.drawing.gate import night_gate
from pigeon_rec.drawing.keys import KeyContext, asset_keys, settings_hash
from pigeon_rec.drawing.models import night_model, scorer_source
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.files import PLAN_SCHEMA
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan.choice import (
    IS_COHORT,
    PAIR,
    Choice,
    choose,
    prioritise,
    screen,
    usable_counts,
)
from pigeon_rec.nightly.plan.cohorts import plan_cohorts
from pigeon_rec.nightly.plan.inputs import (
    PlanInputs,
    problem_rows,
    read_inputs,
    recommendation_source,
)
from pigeon_rec.retrieval import HistoryRetriever, ImageEncoder, ItemEmbeddings, embed_items
from pigeon_rec.runtime.digests import frame_sha256
from pigeon_rec.runtime.files import write_json, write_parquet
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring import load_safety_checker
from pigeon_rec.warehouse import NIGHT_SCHEMAS, known_assets
from pigeon_rec.warehouse.budget import night_budget
from pigeon_rec.warehouse.planning import refused_before

__all__ = ["PlanSummary", "plan_night"]


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
        recommendations_sha256: Hash of the recommendations.
        interactions_sha256: Hash of their users' interactions up to the end of the date.
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

    Histories are found by `encoder` and keys contain `model_version`; by default they are the
    scorer and the version of `config.model`.

    Raises:
        PigeonError: An input is missing or malformed.
        PlanError: There are no recommendations, or none that can be personalised. The skipped ones
            are still written; the plan of an earlier run is removed.
    """
    load_safety_checker(config.gate.safety)  # an unusable checker must end the night before work
    paths = NightPaths.of(config, date)
    # If this run fails, no later step may use the plan of an earlier one.
    paths.plan_info.unlink(missing_ok=True)
    paths.plan.unlink(missing_ok=True)
    inputs = read_inputs(config, paths)
    foreign = config.scorer is not None
    if encoder is None or model_version is None:
        model = night_model(config)
        scorer = scorer_source(model.source, config.scorer)
        encoder, foreign = encoder or _load_encoder(scorer), scorer != model.source
        model_version = model_version or model.version
    gate = night_gate(config, inputs.catalogue, inputs.prompt, encoder, progress)
    write_json(gate.facts(), paths.gate)
    settings = settings_hash(
        config, inputs.prompt, gate.limits, encoder.encoder_id if foreign else None
    )
    context = KeyContext(model_version, settings, config.seed)
    embeddings = embed_items(
        inputs.catalogue,
        pl.concat([inputs.recommendations["item_id"], inputs.interactions["item_id"]]),
        encoder,
        paths.embeddings,
        config.plan.placeholder_share,
        progress,
    )

    # 1. Which pairs can be drawn, and from which history.
    pairs, skipped, problems = _drawable(config, inputs, embeddings)
    members, of_cohorts = plan_cohorts(config, date, inputs, embeddings)
    write_parquet(skipped, paths.skipped)
    write_parquet(problems, paths.problems)
    if pairs.is_empty() and of_cohorts.is_empty():
        raise _nothing_to_plan(config, paths, inputs, embeddings, skipped)

    # 2. The best of them within the budget, and which of their pictures exist already.
    budget = night_budget(config.plan, paths.warehouse, date, model_version, context.settings)
    choice = choose(
        pairs,
        of_cohorts,
        config.plan,
        budget.assets,
        partial(_refused_before, inputs, context, paths, config.plan.max_attempts),
    )
    plan = _plan(choice.requests, inputs, context, paths, config.plan.shards)
    write_parquet(members, paths.cohorts)
    write_parquet(_explained(inputs, pairs, skipped, choice), paths.explained)
    write_parquet(plan, paths.plan)

    summary = PlanSummary(
        run_id=paths.run_id,
        recommendations=inputs.recommendations.height,
        cohorts=members["cohort"].n_unique(),
        budget=budget.assets,
        seconds_per_asset=budget.seconds_per_asset,
        measured_nights=budget.measured_nights,
        skipped=skipped.height,
        reasons=_by_reason(skipped),
        left_out=choice.left_out,
        refused_before=choice.refused_before,
        problems=problems.height,
        model_version=model_version,
        encoder_id=encoder.encoder_id,
        settings_hash=context.settings,
        seed=config.seed,
        recommendations_sha256=frame_sha256(inputs.recommendations),
        interactions_sha256=frame_sha256(inputs.interactions),
        **_plan_facts(plan, config.plan.shards),
    )
    write_json(dataclasses.asdict(summary), paths.plan_info)
    return summary


def _drawable(
    config: NightlyConfig, inputs: PlanInputs, embeddings: ItemEmbeddings
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Returns pairs with history and priority, the skipped ones, and all problems."""
    usable = embeddings.histories(inputs.interactions)
    fit, skipped = screen(
        inputs.recommendations,
        inputs.catalogue.items["item_id"],
        usable_counts(usable),
        {"broken_image": embeddings.broken, "placeholder_image": embeddings.shared.placeholders},
        config.plan.min_interactions,
    )
    of_fit = usable.join(
        fit.select("user_id").unique(), on="user_id", how="semi", maintain_order="left"
    )
    retriever = HistoryRetriever(
        embeddings.vectors, of_fit, embeddings.item_ids, config.retrieval, inputs.as_of
    )
    histories = retriever.retrieve(fit.select(PAIR))
    # The reference itself is never part of the history.
    without_history = histories.filter(pl.col("history_ids").list.len() == 0).select(
        *PAIR,
        pl.lit("short_history").alias("reason"),
        pl.lit("no item but the reference itself").alias("detail"),
    )
    skipped = pl.concat([skipped, without_history]).sort(PAIR)
    of_images = problem_rows(embeddings.problems)
    problems = pl.concat([inputs.problems, of_images, _skip_problems(config, skipped)])
    return prioritise(fit, histories), skipped, problems.unique().sort(problems.columns)


def _skip_problems(config: NightlyConfig, skipped: pl.DataFrame) -> pl.DataFrame:
    """Returns a problem per unknown item and per user with too little history."""

    def rows(reason: str, subject: str, location: str, message: pl.Expr) -> pl.DataFrame:
        return skipped.filter(pl.col("reason") == reason).select(
            pl.col("reason").alias("kind"),
            pl.col(subject).alias("subject"),
            pl.lit(location).alias("location"),
            message.alias("message"),
        )

    unknown = pl.format("item '{}' is recommended but not in the catalogue", "item_id")
    short = pl.format("user '{}' has too little history: {}", "user_id", "detail")
    return pl.concat(
        [
            rows("unknown_item", "item_id", recommendation_source(config), unknown),
            rows("short_history", "user_id", config.interactions, short),
        ]
    )


def _explained(
    inputs: PlanInputs, pairs: pl.DataFrame, skipped: pl.DataFrame, choice: Choice
) -> pl.DataFrame:
    """Returns one row of the table `plan_pairs` per recommendation, by user and rank."""
    decisions = pl.concat([choice.decisions, skipped])
    gains = pairs.select(*PAIR, "expected_gain")
    return (
        inputs.recommendations.join(decisions, on=PAIR, how="left", maintain_order="left")
        .join(gains, on=PAIR, how="left", maintain_order="left")
        .select(pl.col(name).cast(kind) for name, kind in NIGHT_SCHEMAS["plan_pairs"].items())
    )


def _refused_before(
    inputs: PlanInputs,
    context: KeyContext,
    paths: NightPaths,
    max_attempts: int,
    requests: pl.DataFrame,
) -> pl.DataFrame:
    """Returns `user_id, item_id, reason, detail, cause` of requests not to be drawn again."""
    keys = asset_keys(requests, inputs.catalogue, inputs.prompt, context)
    known = refused_before(paths.warehouse, keys, before=paths.date, max_attempts=max_attempts)
    keyed = requests.select(*PAIR, pl.Series("asset_key", keys, dtype=pl.String()))
    return keyed.join(known, on="asset_key", maintain_order="left").drop("asset_key")


def _plan(
    requests: pl.DataFrame, inputs: PlanInputs, context: KeyContext, paths: NightPaths, shards: int
) -> pl.DataFrame:
    """Returns the requests as `PLAN_SCHEMA`, in the same order.

    With reuse there are fewer shards, not smaller ones: each shard loads the model once.
    """
    keys = asset_keys(requests, inputs.catalogue, inputs.prompt, context)
    known = known_assets(paths.warehouse, keys)["asset_key"]
    to_draw = len(set(keys)) - known.len()
    shards = max(1, math.ceil(shards * to_draw / max(1, len(set(keys)))))
    reused = pl.col("asset_key").is_in(known.implode())
    return (
        requests.with_columns(
            pl.Series("asset_key", keys, dtype=pl.String()),
            pl.Series("shard", [int(key[:8], 16) % shards for key in keys], dtype=pl.Int32()),
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


def _by_reason(skipped: pl.DataFrame) -> dict[str, int]:
    return dict(sorted(skipped["reason"].value_counts().iter_rows()))


def _nothing_to_plan(
    config: NightlyConfig,
    paths: NightPaths,
    inputs: PlanInputs,
    embeddings: ItemEmbeddings,
    skipped: pl.DataFrame,
) -> PlanError:
    reasons = ", ".join(f"{reason} {count}" for reason, count in _by_reason(skipped).items())
    why, remedy = embeddings.fault() or inputs.fault() or _WITHOUT_FAULT
    return PlanError(
        f"nothing to plan for {paths.run_id}: 0 of {inputs.recommendations.height} recommendations "
        f"can be personalised ({reasons}){why}",
        location=f"recommendations of {recommendation_source(config)}; "
        f"each pair's reason in {paths.skipped}",
        remedy=remedy,
    )


def _load_encoder(model: str) -> ImageEncoder:
    from pigeon_rec.scoring.scorer import load_scorer

    return load_scorer(model)
