"""What all parts of a plan share: tables divided by user, item vectors, cohorts and versions.

A night with few users has one part, and nothing of this is written. The tables of many users are
divided without being held in memory; then each part can be planned by a process of its own.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.interactions import (
    INTERACTION_SCHEMA,
    InteractionTable,
    scan_interactions,
)
from pigeon_rec.data.parts import UserParts, scatter, scattered
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.drawing.gate import night_gate
from pigeon_rec.drawing.keys import KeyContext, settings_hash
from pigeon_rec.drawing.models import night_model, scorer_source
from pigeon_rec.inputs.prepare import import_problems
from pigeon_rec.nightly.paths import NightPaths, SplitPaths, end_of_day
from pigeon_rec.nightly.plan.inputs import night_parts, problem_rows, read_recommendations
from pigeon_rec.retrieval import (
    Cohorts,
    ImageEncoder,
    ItemEmbeddings,
    embed_items,
    fit_cohorts,
    refit_moment,
    sample_users,
    shared_pictures,
)
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.files import (
    read_json,
    read_parquet,
    replacing,
    write_json,
    write_parquet,
)
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.scoring import load_safety_checker

__all__ = ["Split", "read_split", "split_night"]

_EXAMPLES: Final = 10_000  # users that a message about ids that do not meet compares


@dataclass(frozen=True)
class Split:
    """What all parts of the plan share.

    Attributes:
        parts: Ranges of the users.
        items: Embeddings of all recommended and interacted items.
        cohorts: The taste cohorts, fitted to a sample of all users.
        context: The part of every key that all requests share.
        encoder_id: Encoder that finds the histories.
        problems: Problems of catalogue, pictures and interactions, as rows of `problems`.
        strangers: Some users with interactions, by id, if no user with recommendations has any.
        interactions: Those of a single part; those of several are in the files of the parts.
        as_of: End of the date.
    """

    parts: UserParts
    prompt: PromptTemplate
    catalogue: Catalogue
    items: ItemEmbeddings
    cohorts: Cohorts
    context: KeyContext
    encoder_id: str
    problems: pl.DataFrame
    strangers: list[str]
    interactions: pl.DataFrame
    as_of: dt.datetime


def split_night(
    config: NightlyConfig,
    date: dt.date,
    *,
    progress: Progress = silent,
    encoder: ImageEncoder | None = None,
    model_version: str | None = None,
) -> Split:
    """Reads and divides the interactions, embeds the items, and fits quality gate and cohorts.

    With several parts the result is also written, for `read_split`; what was there before, planned
    parts included, is removed. For the arguments see `plan_night`.

    Raises:
        PigeonError: An input is missing or malformed.
    """
    load_safety_checker(config.gate.safety)  # an unusable checker must end the night before work
    paths = NightPaths.of(config, date)
    parts = night_parts(paths)
    prompt = load_prompt(config.scenario)
    catalogue = load_catalogue(config.catalogue, prompt.aspect)
    prompt.check_columns(catalogue.text_columns, config.catalogue)
    read_recommendations(config, paths, parts, 0)  # its errors before anything is made
    until = end_of_day(paths.date)
    table = scan_interactions(
        config.interactions, catalogue, until=until, in_memory=len(parts) == 1
    )
    encoder_id, version = encoder.encoder_id if encoder else None, model_version
    foreign = config.scorer is not None
    if encoder is None or model_version is None:
        model = night_model(config)
        scorer = scorer_source(model.source, config.scorer)
        encoder, foreign = encoder or _load_encoder(scorer), scorer != model.source
        model_version = model_version or model.version
    gate = night_gate(config, catalogue, prompt, encoder, progress)
    write_json(gate.facts(), paths.gate)
    settings = settings_hash(config, prompt, gate.limits, encoder.encoder_id if foreign else None)

    shutil.rmtree(paths.parts, ignore_errors=True)
    divided = _divide(config, paths, parts, table)
    items = embed_items(
        catalogue,
        divided.item_ids,
        encoder,
        paths.embeddings,
        config.plan.placeholder_share,
        progress,
    )
    cohorts = fit_cohorts(
        items.vectors,
        items.histories(divided.sample),
        items.item_ids,
        config.plan.cohorts,
        refit_at=refit_moment(date, config.plan.cohorts.refit_days),
        seed=config.seed,
    )
    told = [*catalogue.problems, *table.problems(), *import_problems(config), *items.problems]
    split = Split(
        parts=parts,
        prompt=prompt,
        catalogue=catalogue,
        items=items,
        cohorts=cohorts,
        context=KeyContext(model_version, settings, config.seed),
        encoder_id=encoder.encoder_id,
        problems=problem_rows(told),
        strangers=divided.strangers,
        interactions=divided.interactions,
        as_of=until,
    )
    if len(parts) > 1:
        _write(split, paths.split, _signature(config, paths, encoder_id, version))
    return split


def read_split(
    config: NightlyConfig,
    date: dt.date,
    *,
    encoder: ImageEncoder | None = None,
    model_version: str | None = None,
) -> Split | None:
    """Reads what `split_night` wrote for the same settings, tables, encoder and version.

    Returns:
        `None` if there is no such split.
    """
    paths = NightPaths.of(config, date)
    try:
        info = read_json(paths.split.info)
    except (OSError, ValueError):
        return None
    encoder_id = encoder.encoder_id if encoder else None
    if info.get("made_from") != _signature(config, paths, encoder_id, model_version):
        return None
    prompt = load_prompt(config.scenario)
    catalogue = load_catalogue(config.catalogue, prompt.aspect)
    shared = shared_pictures(catalogue, config.plan.placeholder_share)
    before = info["known_before"]
    return Split(
        parts=night_parts(paths),
        prompt=prompt,
        catalogue=catalogue,
        items=ItemEmbeddings.read(paths.split.items, paths.split.vectors, shared),
        cohorts=Cohorts(
            np.load(paths.split.centroids), before and dt.datetime.fromisoformat(before)
        ),
        context=KeyContext(info["model_version"], info["settings_hash"], config.seed),
        encoder_id=info["encoder_id"],
        problems=read_parquet(paths.split.problems),
        strangers=info["strangers"],
        interactions=pl.DataFrame(schema=INTERACTION_SCHEMA),
        as_of=end_of_day(paths.date),
    )


@dataclass(frozen=True)
class _Divided:
    """What dividing the interactions finds: see `Split`."""

    item_ids: pl.Series
    sample: pl.DataFrame
    strangers: list[str]
    interactions: pl.DataFrame


def _divide(
    config: NightlyConfig, paths: NightPaths, parts: UserParts, table: InteractionTable
) -> _Divided:
    """Divides the interactions, and collects the items and a sample of the users of all parts."""
    item_ids = pl.Series("item_id", [], pl.String())
    sample = interactions = pl.DataFrame(schema=INTERACTION_SCHEMA)
    strangers: list[str] = []
    some = False
    for number, rows in enumerate(_by_part(table, parts, paths.parts / "raw")):
        recommended = pl.scan_parquet(paths.recommendations_of(number, len(parts)))
        users, items = (
            recommended.select(name).unique().collect(engine="streaming")[name]
            for name in ("user_id", "item_id")
        )
        mine = rows.join(users.to_frame(), on="user_id", how="semi", maintain_order="left")
        item_ids = pl.concat([item_ids, items, mine["item_id"].unique()]).unique()
        both = pl.concat([sample["user_id"].unique(), mine["user_id"].unique()])
        chosen = sample_users(both, config.plan.cohorts)
        sample = pl.concat(
            frame.join(chosen, on="user_id", how="semi", maintain_order="left")
            for frame in (sample, mine)
        )
        some = some or mine.height > 0
        if len(strangers) < _EXAMPLES and not some:
            strangers += rows["user_id"].unique().sort().head(_EXAMPLES).to_list()
        if len(parts) == 1:
            interactions = mine
        else:
            write_parquet(mine, paths.part(number).interactions)
    return _Divided(item_ids, sample, [] if some else strangers, interactions)


def _by_part(table: InteractionTable, parts: UserParts, raw: Path) -> Iterator[pl.DataFrame]:
    """Yields the interactions of each part, sorted by user, time and item."""
    order, rows = ("user_id", "timestamp", "item_id"), table.known()
    if len(parts) == 1:
        yield rows.collect().sort(*order)
        return
    scatter(rows, parts, raw)
    for part in scattered(rows, parts, raw):
        yield part.sort(*order)
    shutil.rmtree(raw)


def _write(split: Split, files: SplitPaths, made_from: str) -> None:
    split.items.write(files.items, files.vectors)
    with replacing(files.centroids) as temporary:
        np.save(temporary, split.cohorts.centroids)
    write_parquet(split.problems, files.problems)
    before = split.cohorts.known_before
    info = {
        "made_from": made_from,
        "model_version": split.context.model_version,
        "settings_hash": split.context.settings,
        "encoder_id": split.encoder_id,
        "known_before": before and before.isoformat(),
        "strangers": split.strangers,
    }
    write_json(info, files.info)


def _signature(
    config: NightlyConfig, paths: NightPaths, encoder_id: str | None, model_version: str | None
) -> str:
    """Changes with the settings, the tables, and encoder and version where they are given."""
    stamps = []
    for name in (config.catalogue, config.interactions, paths.recommendations_info):
        try:
            facts = Path(name).stat()
            stamps.append([facts.st_size, facts.st_mtime_ns])
        except OSError:
            stamps.append([])  # a bundled table
    return digest([config.model_dump(mode="json"), stamps, encoder_id, model_version])


def _load_encoder(model: str) -> ImageEncoder:
    from pigeon_rec.scoring.scorer import load_scorer

    return load_scorer(model)
