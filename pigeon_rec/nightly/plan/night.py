"""Planning a night: which (user, item) pairs get a picture, from which history, in which shard.

Recommendations are screened, each gets the history that retrieval finds for it, the most valuable
ones within the budget are chosen, and a key over all that decides a picture tells whether an
earlier night has drawn it already. Taste cohorts are planned like users, from a history of their
own. Every recommendation is recorded with the reason for what was decided.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.drawing.models import chosen_model
from pigeon_rec.drawing.texts import history_texts, target_texts
from pigeon_rec.errors import PlanError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan.budget import Budget, night_budget
from pigeon_rec.nightly.plan.choice import Choice, choose, prioritise, screen, usable_counts
from pigeon_rec.nightly.plan.cohorts import NightCohorts, plan_cohorts
from pigeon_rec.nightly.plan.inputs import (
    ImageEncoder,
    Looks,
    PlanInputs,
    look,
    read_inputs,
    recommendation_source,
)
from pigeon_rec.nightly.plan.keys import asset_key, settings_hash
from pigeon_rec.nightly.plan.recommendations import PROBLEM_SCHEMA
from pigeon_rec.retrieval import COHORT_PREFIX, HistoryRetriever
from pigeon_rec.runtime.digests import frame_sha256
from pigeon_rec.runtime.files import write_json, write_parquet
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring import load_safety_checker
from pigeon_rec.warehouse import NIGHT_SCHEMAS, known_assets

__all__ = ["EXPLAINED_SCHEMA", "PLAN_SCHEMA", "ImageEncoder", "PlanSummary", "plan_night"]

PLAN_SCHEMA: Final = pl.Schema(
    {
        "asset_key": pl.String(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "status": pl.String(),
        "priority": pl.Float64(),
        "history_ids": pl.List(pl.String()),
        "history_scores": pl.List(pl.Float32()),
        "shard": pl.Int32(),
        "model_version": pl.String(),
        "settings_hash": pl.String(),
    }
)
EXPLAINED_SCHEMA: Final = NIGHT_SCHEMAS["plan_pairs"]
_PAIR: Final = ["user_id", "item_id"]


@dataclass(frozen=True)
class PlanSummary:
    """What was planned; also the content of `plan.json`.

    Attributes:
        run_id: The night.
        recommendations: Pairs the recommender proposed.
        planned: Pairs to be served tonight, those of cohorts included.
        users: People among them.
        cohorts: Taste cohorts that users belong to.
        cohort_pairs: Planned pairs of cohorts.
        budget: Pictures that could be planned at most.
        seconds_per_asset: What drawing one is expected to take.
        measured_nights: Earlier nights that say so; 0 for the documented default.
        generate: Planned pairs whose picture must be drawn.
        reuse: Planned pairs whose picture (or its refusal) the warehouse already knows.
        skipped: Recommendations that cannot be personalised.
        reasons: Skipped recommendations by reason.
        left_out: Recommendations that could be, but not within tonight's limits, by limit.
        problems: Bad items, images, users and rows that were met.
        shard_sizes: Pictures to draw in each shard.
        model_version: Model that will draw.
        encoder_id: Encoder that the histories were found with.
        settings_hash: How pictures are drawn and judged.
        seed: Root of the night's randomness.
        recommendations_sha256: Hash of the recommendations.
        interactions_sha256: Hash of what the recommendations' users did up to the end of the date.
        pairs_sha256: Hash of the planned pairs and their keys; not of what is reused.
    """

    run_id: str
    recommendations: int
    planned: int
    users: int
    cohorts: int
    cohort_pairs: int
    budget: int
    seconds_per_asset: float
    measured_nights: int
    generate: int
    reuse: int
    skipped: int
    reasons: Mapping[str, int]
    left_out: Mapping[str, int]
    problems: int
    shard_sizes: Sequence[int]
    model_version: str
    encoder_id: str
    settings_hash: str
    seed: int
    recommendations_sha256: str
    interactions_sha256: str
    pairs_sha256: str


@dataclass(frozen=True)
class _Style:
    """What besides the inputs decides a picture: model, settings, seed."""

    version: str
    settings: str
    seed: int


def plan_night(
    config: NightlyConfig,
    date: dt.date,
    *,
    progress: Progress = silent,
    encoder: ImageEncoder | None = None,
    model_version: str | None = None,
) -> PlanSummary:
    """Writes the plan of the night: requests, cohorts, the reason for every pair, and a summary.

    The same inputs give the same pairs and keys, whatever pictures the warehouse holds; they only
    decide between `generate` and `reuse`. Of a budget in minutes, what earlier nights took is part
    of the inputs.

    Args:
        config: Settings of the night.
        date: Logical date; what happened after its end (UTC) is not known yet.
        progress: Told of the item images that were read.
        encoder: Finds histories; the scorer of `config.model` if left out.
        model_version: Part of every key; that of `config.model` if left out.

    Raises:
        PigeonError: An input is missing or malformed.
        PlanError: There are no recommendations, or none that can be personalised. What was skipped
            is still written; a plan of an earlier try is removed.
    """
    load_safety_checker(config.gate.safety)  # a checker that cannot be loaded ends the night here
    paths = NightPaths.of(config, date)
    _forget_plan(paths)
    inputs = read_inputs(config, paths)
    if encoder is None or model_version is None:
        model = chosen_model(config.model, config.work_dir)
        encoder = encoder or _load_encoder(model.source)
        model_version = model_version or model.version
    style = _Style(model_version, settings_hash(config, inputs.prompt), config.seed)
    looks = look(inputs, encoder, paths, progress)

    # 1. Who and what can be personalised, and from which history.
    pairs, skipped, problems = _eligible(config, inputs, looks)
    cohorts = plan_cohorts(config, date, _with_usable_reference(inputs, looks), inputs, looks)
    write_parquet(skipped, paths.skipped)
    write_parquet(problems, paths.problems)
    if pairs.is_empty() and cohorts.pairs.is_empty():
        raise _nothing_to_plan(config, paths, inputs, skipped)

    # 2. The best of them, and what earlier nights have made of these very pictures.
    budget = night_budget(config.plan, paths.warehouse, date, style.version, style.settings)
    choice = choose(pairs, cohorts.pairs, config.plan, budget.assets)
    plan = _plan(choice.pairs, inputs, style, paths, config.plan.shards)
    write_parquet(cohorts.members, paths.cohorts)
    write_parquet(_explained(inputs, pairs, skipped, choice), paths.explained)
    write_parquet(plan, paths.plan)

    summary = PlanSummary(
        run_id=paths.run_id,
        recommendations=inputs.recommendations.height,
        left_out=choice.left_out,
        skipped=skipped.height,
        reasons=_tally(skipped),
        problems=problems.height,
        encoder_id=encoder.encoder_id,
        recommendations_sha256=frame_sha256(inputs.recommendations),
        interactions_sha256=frame_sha256(inputs.interactions),
        **_budget_facts(budget, cohorts),
        **_plan_facts(plan, style, config.plan.shards),
    )
    write_json(dataclasses.asdict(summary), paths.plan_info)
    return summary


def _eligible(
    config: NightlyConfig, inputs: PlanInputs, looks: Looks
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Pairs with history and priority, the skipped ones, and all problems of the night."""
    counts = usable_counts(inputs.interactions, looks.broken)
    known = inputs.catalogue.items["item_id"]
    needed = config.plan.min_interactions
    fit, skipped = screen(inputs.recommendations, known, counts, looks.broken, needed)
    histories = _histories(config, fit, inputs, looks)
    # Who knows nothing but the reference has no history left for it.
    lonely = histories.filter(pl.col("history_ids").list.len() == 0).select(
        "user_id",
        "item_id",
        pl.lit("short_history").alias("reason"),
        pl.lit("no item but the reference itself").alias("detail"),
    )
    pairs = prioritise(fit, histories.filter(pl.col("history_ids").list.len() > 0))
    skipped = pl.concat([skipped, lonely]).sort("user_id", "item_id")
    problems = pl.concat([inputs.problems, looks.problems, _skip_problems(config, skipped)])
    return pairs, skipped, problems.unique().sort(list(PROBLEM_SCHEMA))


def _with_usable_reference(inputs: PlanInputs, looks: Looks) -> pl.DataFrame:
    """Recommendations of real users whose item can be drawn, whatever their user's history."""
    usable = set(looks.item_ids) - set(looks.broken)
    return inputs.recommendations.filter(
        pl.col("item_id").is_in(list(usable)) & ~pl.col("user_id").str.starts_with(COHORT_PREFIX)
    )


def _histories(
    config: NightlyConfig, fit: pl.DataFrame, inputs: PlanInputs, looks: Looks
) -> pl.DataFrame:
    usable = inputs.interactions.filter(~pl.col("item_id").is_in(list(looks.broken))).join(
        fit.select("user_id").unique(), on="user_id", how="semi", maintain_order="left"
    )
    retriever = HistoryRetriever(
        looks.vectors, usable, looks.item_ids, config.retrieval, inputs.as_of
    )
    return retriever.retrieve(fit.select("user_id", "item_id"))


def _skip_problems(config: NightlyConfig, skipped: pl.DataFrame) -> pl.DataFrame:
    """One row per unknown item and per user with too little history; images are told already."""
    unknown = skipped.filter(pl.col("reason") == "unknown_item").select(
        pl.col("reason").alias("kind"),
        pl.col("item_id").alias("subject"),
        pl.lit(recommendation_source(config)).alias("location"),
        pl.format("item '{}' is recommended but not in the catalogue", "item_id").alias("message"),
    )
    short = skipped.filter(pl.col("reason") == "short_history").select(
        pl.col("reason").alias("kind"),
        pl.col("user_id").alias("subject"),
        pl.lit(config.interactions).alias("location"),
        pl.format("user '{}' has too little history: {}", "user_id", "detail").alias("message"),
    )
    return pl.concat([unknown, short])


def _explained(
    inputs: PlanInputs, pairs: pl.DataFrame, skipped: pl.DataFrame, choice: Choice
) -> pl.DataFrame:
    """One row per recommendation, in `EXPLAINED_SCHEMA`, by user and rank."""
    verdicts = pl.concat([choice.judged, skipped])
    gains = pairs.select(*_PAIR, "expected_gain")
    return (
        inputs.recommendations.join(verdicts, on=_PAIR, how="left", maintain_order="left")
        .join(gains, on=_PAIR, how="left", maintain_order="left")
        .select(pl.col(name).cast(kind) for name, kind in EXPLAINED_SCHEMA.items())
    )


def _plan(
    pairs: pl.DataFrame, inputs: PlanInputs, style: _Style, paths: NightPaths, shards: int
) -> pl.DataFrame:
    """The chosen pairs as rows of `PLAN_SCHEMA`, in the same order.

    Shards keep the size they have in a night without reuse, so that a night with little to draw
    loads the model once and not once per shard.
    """
    keys = _keys(pairs, inputs, style)
    known = known_assets(paths.warehouse, keys)["asset_key"]
    to_draw = len(set(keys)) - known.len()
    shards = max(1, math.ceil(shards * to_draw / max(1, len(set(keys)))))
    return pairs.with_columns(
        pl.Series("asset_key", keys, dtype=pl.String()),
        pl.Series("shard", [int(key[:8], 16) % shards for key in keys], dtype=pl.Int32()),
        pl.lit(style.version).alias("model_version"),
        pl.lit(style.settings).alias("settings_hash"),
    ).select(
        pl.when(pl.col("asset_key").is_in(known.implode()))
        .then(pl.lit("reuse"))
        .otherwise(pl.lit("generate"))
        .alias("status")
        if name == "status"
        else pl.col(name)
        for name in PLAN_SCHEMA
    )


def _keys(pairs: pl.DataFrame, inputs: PlanInputs, style: _Style) -> list[str]:
    used = pl.concat([pairs["item_id"], pairs["history_ids"].explode()]).unique().to_list()
    sha256 = dict(zip(used, inputs.catalogue.image_hashes(used), strict=True))
    histories = pairs["history_ids"].to_list()
    texts = history_texts(inputs.prompt, inputs.catalogue, histories)
    told: Sequence[list[str] | None] = texts if texts is not None else [None] * len(histories)
    asked = target_texts(inputs.prompt, inputs.catalogue.rows(pairs["item_id"].to_list()))
    return [
        asset_key(
            _history_facts(history, words, sha256),
            (reference, sha256[reference]),
            target,
            model_version=style.version,
            settings=style.settings,
            seed=style.seed,
        )
        for reference, history, words, target in zip(
            pairs["item_id"], histories, told, asked, strict=True
        )
    ]


def _history_facts(
    history: list[str], texts: list[str] | None, sha256: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Id and image hash of each history item, and what is written before it, if anything."""
    if texts is None:
        return [(item, sha256[item]) for item in history]
    return [(item, sha256[item], text) for item, text in zip(history, texts, strict=True)]


def _budget_facts(budget: Budget, cohorts: NightCohorts) -> dict[str, Any]:
    return {
        "budget": budget.assets,
        "seconds_per_asset": budget.seconds_per_asset,
        "measured_nights": budget.measured_nights,
        "cohorts": cohorts.members["cohort"].n_unique(),
    }


def _plan_facts(plan: pl.DataFrame, style: _Style, shards: int) -> dict[str, Any]:
    to_draw = plan.filter(pl.col("status") == "generate")
    sizes = dict(to_draw["shard"].value_counts().iter_rows())
    users = plan.filter(~pl.col("user_id").str.starts_with(COHORT_PREFIX))["user_id"]
    return {
        "planned": plan.height,
        "users": users.n_unique(),
        "cohort_pairs": plan.height - users.len(),
        "generate": to_draw.height,
        "reuse": plan.height - to_draw.height,
        "shard_sizes": [sizes.get(shard, 0) for shard in range(shards)],
        "model_version": style.version,
        "settings_hash": style.settings,
        "seed": style.seed,
        "pairs_sha256": frame_sha256(plan.select("user_id", "item_id", "asset_key")),
    }


def _tally(skipped: pl.DataFrame) -> dict[str, int]:
    return dict(sorted(skipped["reason"].value_counts().iter_rows()))


def _forget_plan(paths: NightPaths) -> None:
    # If this try fails, nobody may draw or publish what an earlier one planned.
    paths.plan_info.unlink(missing_ok=True)
    paths.plan.unlink(missing_ok=True)


def _nothing_to_plan(
    config: NightlyConfig, paths: NightPaths, inputs: PlanInputs, skipped: pl.DataFrame
) -> PlanError:
    reasons = ", ".join(f"{reason} {count}" for reason, count in _tally(skipped).items())
    return PlanError(
        f"nothing to plan for {paths.run_id}: 0 of {inputs.recommendations.height} recommendations "
        f"can be personalised ({reasons})",
        location=f"recommendations of {recommendation_source(config)}; "
        f"each pair's reason in {paths.skipped}",
        remedy="Check interactions, catalogue and logical date, or lower plan.min_interactions",
    )


def _load_encoder(model: str) -> ImageEncoder:
    from pigeon_rec.scoring.scorer import load_scorer

    return load_scorer(model)
