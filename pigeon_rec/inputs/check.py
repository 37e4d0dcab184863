"""Checks what a night reads before the night: numbers, findings, and what to do about them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from pigeon_rec.config import NightlyConfig, WarehouseConfig, gate_limits
from pigeon_rec.data.catalogue import Catalogue, Problem, load_catalogue
from pigeon_rec.data.ids import unmet_ids
from pigeon_rec.data.interactions import load_interactions
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.data.recommendations import load_recommendations
from pigeon_rec.data.world import WORLDS
from pigeon_rec.drawing.gate import NightGate
from pigeon_rec.drawing.keys import settings_hash
from pigeon_rec.drawing.models import night_model
from pigeon_rec.errors import ConfigError, PlanError
from pigeon_rec.inputs.estimate import Estimate, estimate_night
from pigeon_rec.inputs.gate import GateCheck, gate_check, gate_of_check
from pigeon_rec.inputs.prepare import prepare_inputs
from pigeon_rec.retrieval import shared_pictures
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.runtime.work_dir import warehouse_file
from pigeon_rec.warehouse.budget import night_budget
from pigeon_rec.warehouse.marking import marker_of

__all__ = ["Finding", "InputCheck", "check_inputs"]

_READ_AT_ONCE: Final = 256
_MOST_READ: Final = 2_000
_UNKNOWN: Final = 0.2
_MOMENT: Final = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class Finding:
    """Something to know or to mend before the night.

    Attributes:
        level: `error`: there would be no night; `warning`: it would be a poor one.
        finding: What was found.
        advice: What to do.
    """

    level: Literal["error", "warning"]
    finding: str
    advice: str


@dataclass(frozen=True)
class InputCheck:
    """Numbers of the inputs, and what was found.

    Attributes:
        items: Usable items of the catalogue.
        pictures_read: Pictures decoded for this check; those of an imported catalogue were decoded
            by its import.
        interactions: Usable interactions with known items.
        users: Their users.
        users_with_history: Users with enough different items for pictures of their own.
        first: Time of the first interaction.
        last: Time of the last one.
        unknown_share: Share of the interactions whose item is not in the catalogue.
        recommendations: Rows of the given recommendations; None if a recommender is trained.
        reachable_users: Users of the recommendations who have enough history.
        problems: Rows, items and pictures that were left out, by kind.
        gate: Limits of the quality gate; None if there would be no night.
        estimate: What the night draws if it can reuse nothing, and how long that takes.
        imports: What the imports of the tables reported.
        findings: What to know or to mend.
    """

    items: int
    pictures_read: int
    interactions: int
    users: int
    users_with_history: int
    first: dt.datetime | None
    last: dt.datetime | None
    unknown_share: float
    recommendations: int | None
    reachable_users: int
    problems: Mapping[str, int]
    gate: GateCheck | None
    estimate: Estimate
    imports: Mapping[str, Mapping[str, Any]]
    findings: Sequence[Finding]

    def as_json(self) -> dict[str, Any]:
        """Returns the numbers and findings as plain JSON values."""
        facts: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return facts

    def raise_errors(self) -> None:
        """Raises if the night could not draw anything.

        Raises:
            PlanError: There is a finding of the level `error`.
        """
        for found in self.findings:
            if found.level == "error":
                raise PlanError(found.finding, remedy=found.advice)


def check_inputs(
    config: NightlyConfig, until: dt.datetime, *, progress: Progress = silent
) -> InputCheck:
    """Prepares all inputs of a night, reads them, and reports on them.

    The quality gate is calibrated, unless it has been, and the night uses that calibration.

    Args:
        config: Settings of the night; its tables may be in any form.
        until: End of the night's date: interactions before this time are read.
        progress: Receives the number of items and pictures read.

    Raises:
        ConfigError: There is no such scenario, or the model has no such option.
        ModelError: There is no such model, or it has no scorer.
        CatalogueError, InteractionError, PlanError: A table is unusable as a whole.
    """
    model = night_model(config)
    prepared = prepare_inputs(config, refresh=True, progress=progress)
    config = prepared.config
    prompt = load_prompt(config.scenario)
    catalogue = load_catalogue(config.catalogue, prompt.aspect)
    prompt.check_columns(catalogue.text_columns, config.catalogue)
    rows, problems = load_interactions(config.interactions, catalogue, until=until)
    strange = [problem for problem in problems if problem.kind == "unknown_item"]
    unknown = sum(problem.rows for problem in strange)
    read, broken = _read_pictures(catalogue, config, progress)
    usable = rows.filter(~pl.col("item_id").is_in([p.subject for p in broken]))
    histories = usable.group_by("user_id").agg(pl.col("item_id").n_unique().alias("items"))
    with_history = histories.filter(pl.col("items") >= config.plan.min_interactions)
    recommendations, refused = _recommendations(config)
    reachable = (
        with_history
        if recommendations is None
        else with_history.join(recommendations, on="user_id", how="semi")
    )
    every = _by_kind([*catalogue.problems, *problems, *broken, *refused])
    facts = _Facts(
        config=config,
        prompt=prompt,
        catalogue=catalogue,
        interactions=rows,
        recommendations=recommendations,
        unknown=unknown,
        unknown_ids=[problem.subject for problem in strange],
        reachable=reachable.height,
        until=until,
    )
    findings = [
        *_findings(facts, broken, read),
        *_wordless(prepared.imports),
        *_unsigned(config.warehouse),
    ]
    gate = NightGate(gate_limits(config.gate))
    hopeless = any(found.level == "error" for found in findings)
    if not hopeless:  # nothing is calibrated on what is about to be mended
        gate = gate_of_check(config, catalogue, prompt, model.source, progress)
        findings += [
            Finding("warning", text[0].lower() + text[1:], remedy)
            for text, remedy in gate.warnings()
        ]
    settings = settings_hash(config, prompt, gate.limits)
    date, warehouse = (until - _MOMENT).date(), warehouse_file(config.work_dir)
    budget = night_budget(config.plan, warehouse, date, model.version, settings)
    return InputCheck(
        items=len(catalogue),
        pictures_read=read,
        interactions=rows.height,
        users=rows["user_id"].n_unique(),
        users_with_history=with_history.height,
        first=_time(rows["timestamp"].min()),
        last=_time(rows["timestamp"].max()),
        unknown_share=round(unknown / max(1, unknown + rows.height), 4),
        recommendations=None if recommendations is None else recommendations.height,
        reachable_users=reachable.height,
        problems=dict(sorted((every + _left_out(prepared.imports)).items())),
        gate=None if hopeless else gate_check(config, gate),
        estimate=estimate_night(config, model.source, budget, reachable.height),
        imports=prepared.imports,
        findings=findings,
    )


@dataclass(frozen=True)
class _Facts:
    config: NightlyConfig
    prompt: PromptTemplate
    catalogue: Catalogue
    interactions: pl.DataFrame
    recommendations: pl.DataFrame | None
    unknown: int
    unknown_ids: Sequence[str]
    reachable: int
    until: dt.datetime


def _findings(facts: _Facts, broken: Sequence[Problem], read: int) -> Iterator[Finding]:
    config, catalogue, rows = facts.config, facts.catalogue, facts.interactions
    fewest = config.plan.min_interactions
    if read and len(broken) == read:
        yield Finding(
            "error",
            f"none of {read} pictures can be used; the first: {broken[0].message} "
            f"[{broken[0].location}]",
            "Check images.folder and the column of the images",
        )
    elif broken:
        yield Finding(
            "warning",
            f"{len(broken)} of {read} pictures that were read cannot be used",
            "Their items keep the original; see the problems of the night",
        )
    if rows.is_empty() and not facts.unknown:
        yield Finding(
            "error",
            f"there are no interactions before {facts.until}",
            "Check the date, and the column of the times",
        )
    elif rows.is_empty():
        yield Finding(
            "error",
            "no interaction names an item of the catalogue: "
            + unmet_ids("the interactions", facts.unknown_ids, "the catalogue", catalogue.item_ids),
            "Write the ids alike in both tables",
        )
    elif facts.unknown > _UNKNOWN * (facts.unknown + rows.height):
        yield Finding(
            "warning",
            f"{facts.unknown} interactions name items that are not in the catalogue",
            "Check that the ids are written alike, and that refused items are meant to be",
        )
    if rows.height and facts.recommendations is not None:
        yield from _users_apart(rows, facts.recommendations)
    if rows.height and not facts.reachable and not (read and len(broken) == read):
        yield Finding(
            "error",
            f"no user has {fewest} different items with a usable picture"
            + ("" if facts.recommendations is None else " and recommendations"),
            "Lower plan.min_interactions, or give more interactions",
        )
    if facts.recommendations is not None:
        wanted = facts.recommendations["item_id"]
        is_known = wanted.is_in(catalogue.items["item_id"].implode())
        known, strange = is_known.mean(), wanted.filter(~is_known).unique(maintain_order=True)
        if isinstance(known, float) and known < 1 - _UNKNOWN:
            yield Finding(
                "error" if known == 0 else "warning",
                f"{1 - known:.0%} of the recommendations name items that are not in the "
                "catalogue: " + unmet_ids("they", strange, "the catalogue", catalogue.item_ids),
                "Use the ids of the catalogue in the recommendations",
            )
    yield from _catalogue_findings(facts)


def _users_apart(rows: pl.DataFrame, recommendations: pl.DataFrame) -> Iterator[Finding]:
    if rows.join(recommendations, on="user_id", how="semi").is_empty():
        wanted, known = (t["user_id"].unique(maintain_order=True) for t in (recommendations, rows))
        yield Finding(
            "error",
            "no user of the recommendations has an interaction: "
            + unmet_ids("the recommendations", wanted, "the interactions", known),
            "Write the ids alike in both tables",
        )


def _catalogue_findings(facts: _Facts) -> Iterator[Finding]:
    config, catalogue = facts.config, facts.catalogue
    for placeholder in shared_pictures(catalogue, config.plan.placeholder_share).problems:
        yield Finding(
            "warning",
            f"{placeholder.message} [{placeholder.location}]",
            "Give these items pictures of their own; until then they keep the original",
        )
    if facts.prompt.taste is not None and facts.prompt.taste not in catalogue.text_columns:
        yield Finding(
            "warning",
            f"the catalogue has no column {facts.prompt.taste!r}, the taste of the scenario "
            f"{facts.prompt.scenario!r}; its text columns: {', '.join(catalogue.text_columns)}",
            "Keep such a column (columns.items.keep), or use a scenario with `taste: null`",
        )
    if config.catalogue not in WORLDS and config.model == "sticker-64":
        yield Finding(
            "warning",
            "the bundled model has seen emoji stickers only, and draws other pictures poorly",
            "Train a model on this catalogue: `pigeon-rec train all --help`",
        )


def _read_pictures(
    catalogue: Catalogue, config: NightlyConfig, progress: Progress
) -> tuple[int, list[Problem]]:
    """Decodes pictures of a catalogue of the team's own, evenly chosen if there are many."""
    if config.catalogue in WORLDS or Path(config.catalogue).parent == config.work_dir / "inputs":
        return 0, []
    item_ids = catalogue.item_ids[:: max(1, len(catalogue) // _MOST_READ)]
    broken: list[Problem] = []
    for start in range(0, len(item_ids), _READ_AT_ONCE):
        part = item_ids[start : start + _READ_AT_ONCE]
        broken += catalogue.images(part, size=8)[1]
        progress("pictures", start + len(part), len(item_ids))
    return len(item_ids), broken


def _recommendations(config: NightlyConfig) -> tuple[pl.DataFrame | None, list[Problem]]:
    if config.recommendations == "recbole" or config.recommendations.endswith(".pth"):
        return None, []
    return load_recommendations(Path(config.recommendations))


def _by_kind(problems: Sequence[Problem]) -> Counter[str]:
    return Counter(problem.kind for problem in problems)


def _left_out(imports: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    """Rows that the imports left out, by kind of problem."""
    counts = Counter[str]()
    for name, facts in imports.items():
        counts.update(facts.get("problems", {}))
        faulty = sum(fault["rows"] for fault in facts.get("faults", []))
        counts += Counter({f"bad_{name.removesuffix('s')}": faulty})
    return counts


def _wordless(imports: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Ids that stand in for words; file names of a folder of pictures are words."""
    columns = imports.get("catalogue", {}).get("columns", {})
    if columns and not {"title", "text"} & set(columns):
        yield Finding(
            "warning",
            "no column with a title or text of the items was found, so their ids are the only "
            "words for what is to be drawn",
            "Name one in the YAML file: columns: {items: {title: COLUMN, text: COLUMN}}",
        )


def _unsigned(settings: WarehouseConfig) -> Iterator[Finding]:
    """A warning only, since another machine may publish and alone have the key."""
    try:
        marker_of(settings)
    except ConfigError as error:
        yield Finding(
            "warning",
            f"pictures cannot be signed on this machine: {error.what} [{error.location}]",
            error.remedy or "See warehouse.marking",
        )


def _time(value: object) -> dt.datetime | None:
    return value if isinstance(value, dt.datetime) else None
