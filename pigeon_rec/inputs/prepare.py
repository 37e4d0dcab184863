"""Prepares a night's tables: those that are not in our own form are imported first.

A night may name a team's own tables (`items.csv`). They are imported into `<work dir>/inputs`, and
the steps of the night read them there. Unchanged tables and pictures are not read again. Once users
have opted out, every table with users is imported, without their rows.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.columns import (
    ColumnsConfig,
    ImagesConfig,
    InteractionColumns,
    ItemColumns,
    RecommendationColumns,
    TableColumns,
)
from pigeon_rec.config import NightlyConfig
from pigeon_rec.data.catalogue import REQUIRED_COLUMNS, Problem
from pigeon_rec.data.import_interactions import import_interactions, import_recommendations
from pigeon_rec.data.import_items import import_items
from pigeon_rec.data.interactions import LAST_SECOND
from pigeon_rec.data.opt_out import opt_out_file, read_opt_outs
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.data.world import WORLDS, load_world
from pigeon_rec.errors import ConfigError
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.files import write_json
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.runtime.settings import is_query

__all__ = ["Prepared", "import_problems", "is_foreign", "prepare_inputs"]

_VERSION: Final = 1
"""Raised when an importer changes what it writes."""
_TABLES: Final = ("catalogue", "interactions", "recommendations")
_PAIRS: Final = ("user_id", "item_id")


@dataclass(frozen=True)
class Prepared:
    """The settings with the prepared tables in place of the team's own.

    Attributes:
        config: Names tables in our own form only.
        imports: Table -> what its last import reported, as JSON values; tables in our own form
            have none.
    """

    config: NightlyConfig
    imports: Mapping[str, Mapping[str, Any]]


def prepare_inputs(
    config: NightlyConfig, *, refresh: bool, progress: Progress = silent
) -> Prepared:
    """Imports the tables of a night that are not in our own form.

    Args:
        config: Settings of the night.
        refresh: Look for changes of tables and pictures. Otherwise what an earlier step has
            prepared is taken as it is, so that all steps of a night read the same.
        progress: Receives the number of items read.

    Raises:
        ConfigError: There is a query without a database, or a database without a query.
        CatalogueError, InteractionError, PlanError: A table cannot be read, lacks a column, or
            has no usable row.
    """
    _check_queries(config)
    folder = config.work_dir / "inputs"
    imports: dict[str, Mapping[str, Any]] = {}
    replaced: dict[str, str] = {}
    for name in _TABLES:
        source = getattr(config, name)
        target = folder / ("items.parquet" if name == "catalogue" else f"{name}.parquet")
        known = _known(target)
        kept = not refresh and known.get("source") == source and target.is_file()
        if not kept and not is_foreign(config, name):
            continue
        if not kept:
            known = _prepared(config, name, target, known, progress)
        imports[name] = known["import"]
        replaced[name] = str(target)
    if not replaced:
        return Prepared(config, {})
    # Prepared tables need no column names and no folder of pictures: they are in our own form.
    plain = {"columns": ColumnsConfig(), "images": ImagesConfig()}
    return Prepared(config.model_copy(update=replaced | plain), imports)


def import_problems(config: NightlyConfig) -> list[Problem]:
    """Returns what the imports of `prepare_inputs` left out.

    Args:
        config: Settings that `prepare_inputs` has returned; other settings have no imports.
    """
    folder = config.work_dir / "inputs"
    problems: list[Problem] = []
    if Path(config.catalogue).parent == folder:
        refused = pl.read_parquet(folder / "refused.parquet")
        problems += [Problem(*row) for row in refused.iter_rows()]
    for source, kind in (
        (config.interactions, "bad_interaction"),
        (config.recommendations, "bad_recommendation"),
    ):
        if Path(source).parent == folder:
            problems += [
                Problem(
                    kind,
                    "?",
                    f"row {fault['first_row']}",
                    f"{fault['reason']}; {fault['rows']} rows are left out, the first: "
                    f"{fault['example']}",
                )
                for fault in _known(Path(source))["import"]["faults"]
            ]
    return problems


def _prepared(
    config: NightlyConfig, name: str, target: Path, known: Mapping[str, Any], progress: Progress
) -> Mapping[str, Any]:
    """Imports a table, unless neither it nor its settings have changed, and notes the result."""
    source = getattr(config, name)
    signature = _signature(source, _columns(config, name), _opted_out(config))
    # The pictures of a catalogue may have changed although its table has not.
    if name != "catalogue" and known.get("signature") == signature and target.is_file():
        return known
    facts = _import(name, source, target, config, progress)
    note = {"source": source, "signature": signature, "import": facts}
    write_json(note, _note(target))
    return note


def _check_queries(config: NightlyConfig) -> None:
    for name in _TABLES:
        source, database = getattr(config, name), _columns(config, name).database
        place = f"columns.{'items' if name == 'catalogue' else name}.database"
        if is_query(source) and database is None:
            raise ConfigError(
                f"{name} is a query, but of no database",
                location=source,
                remedy=f"Name the DuckDB file: {place}",
            )
        if database is not None and not is_query(source):
            raise ConfigError(
                f"{name} is read from a database, but is no query",
                location=f"{place}: {database}",
                remedy=f"Write {name} as a query: SELECT ...",
            )


def _columns(config: NightlyConfig, name: str) -> TableColumns:
    columns: TableColumns = getattr(config.columns, "items" if name == "catalogue" else name)
    return columns


def _import(
    name: str, source: str, target: Path, config: NightlyConfig, progress: Progress
) -> Mapping[str, Any]:
    columns = _columns(config, name)
    result: Any
    if isinstance(columns, ItemColumns):
        prompt = load_prompt(config.scenario)
        also = (*prompt.columns, config.recommender.group_by or "")
        result = import_items(
            source, target.parent, columns, config.images, also=also, progress=progress
        )
    elif isinstance(columns, InteractionColumns):
        table = str(load_world(source).interactions) if source in WORLDS else source
        result = import_interactions(table, target, columns, _opted_out(config))
    else:
        scores = RecommendationColumns(**dict(columns))
        result = import_recommendations(source, target, scores, _opted_out(config))
    facts: Mapping[str, Any] = json.loads(json.dumps(dataclasses.asdict(result), default=str))
    return facts


def _opted_out(config: NightlyConfig) -> list[str]:
    return read_opt_outs(opt_out_file(config.work_dir))


def is_foreign(config: NightlyConfig, name: str) -> bool:
    """Whether a table must be imported; a missing one is left to its reader to report."""
    source, columns = getattr(config, name), _columns(config, name)
    if source == "recbole" or source.endswith(".pth"):
        return False
    if name != "catalogue" and _opted_out(config):  # rows are left out of every table
        return True
    if source in WORLDS:
        return False
    described = columns != type(columns)()
    if name == "catalogue":
        described = described or config.images != ImagesConfig()
    return described or Path(source).is_dir() or not _OWN_FORM[name](Path(source))


def _own_items(path: Path) -> bool:
    schema = _schema(path)
    return schema is None or all(schema.get(name) == pl.String() for name in REQUIRED_COLUMNS)


def _own_pairs(path: Path) -> bool:
    if path.suffix == ".inter" or (schema := _schema(path)) is None:
        return True
    if not all(schema.get(name) == pl.String() for name in _PAIRS):
        return False
    time = schema.get("timestamp")
    return isinstance(time, pl.Datetime) or (
        time is not None and time.is_numeric() and _in_seconds(path)
    )


def _in_seconds(path: Path) -> bool:
    """Whether most numbers of the column `timestamp` can be seconds since 1970."""
    median = pl.scan_parquet(path).select(pl.col("timestamp").median()).collect().item()
    return median is None or float(median) <= LAST_SECOND


def _own_scores(path: Path) -> bool:
    schema = _schema(path)
    if schema is None:
        return True
    score = schema.get("score")
    numeric = score is not None and score.is_numeric()
    return numeric and all(schema.get(name) == pl.String() for name in _PAIRS)


def _schema(path: Path) -> pl.Schema | None:
    """The columns of a parquet file; empty for other files, None if there is nothing to read."""
    if not path.is_file():
        return None
    if path.suffix not in (".parquet", ".pq"):
        return pl.Schema({})
    try:
        return pl.Schema(pl.read_parquet_schema(path))
    except (OSError, pl.exceptions.PolarsError):
        return None
    except pl.exceptions.PanicException:  # a type that polars does not know, such as an interval
        return pl.Schema({})


def _signature(source: str, columns: TableColumns, opted_out: Sequence[str]) -> str:
    """Changes with the table's file, with how it is read, and with who has opted out."""
    file = columns.database or Path(source)
    try:
        facts = file.stat()
        stamp = [facts.st_size, facts.st_mtime_ns]
    except OSError:
        stamp = []
    return digest([_VERSION, source, stamp, columns.model_dump(mode="json"), list(opted_out)])


_OWN_FORM: Final[Mapping[str, Callable[[Path], bool]]] = {
    "catalogue": _own_items,
    "interactions": _own_pairs,
    "recommendations": _own_scores,
}


def _note(target: Path) -> Path:
    return target.with_suffix(".json")


def _known(target: Path) -> Mapping[str, Any]:
    """The note of the last import; empty if there is none, or it is damaged."""
    try:
        known = json.loads(_note(target).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(known, dict) and isinstance(known.get("import"), dict)
    return known if whole else {}
