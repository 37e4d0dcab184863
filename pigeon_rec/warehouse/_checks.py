"""Checks of a night, or of one part of it, that need no warehouse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import polars as pl
from duckdb import DuckDBPyConnection

from pigeon_rec.errors import WarehouseError
from pigeon_rec.warehouse._frames import fetch_each
from pigeon_rec.warehouse._images import image_faults
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS, NightFacts, NightRecords
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = ["check_across", "check_images", "check_night", "check_nulls", "check_table"]

_NULLABLE: Final = {"image_uri", "detail", "location", "expected_gain"}
_OPTIONAL: Final = {"image_uri"}
_UNIQUE: Final = {
    "assets": ("asset_key",),
    "run_assets": ("user_id", "item_id"),
    "scores": ("asset_key", "metric"),
    "rejections": ("user_id", "item_id"),
    "cohorts": ("user_id",),
    "plan_pairs": ("user_id", "item_id"),
    "originals": ("item_id",),
    "drawing_times": ("shard",),
}
_ORIGINS: Final = ("generated", "reused")
_SHOWN: Final = 3
_BOTH: Final = "are both served and rejected"


def check_night(night: NightRecords) -> NightRecords:
    """Checks a night, apart from its pictures, and returns it with frames in the exact schema.

    Users can share an `asset_key`; equal pictures and scores are kept once.

    Raises:
        WarehouseError: Naming the night, the frame, the column and the first few keys at fault.
    """
    if night.planned < 0 or night.skipped < 0:
        raise _fault(night, f"counts cannot be negative: {night.planned}, {night.skipped}", "runs")
    night.config_json()
    frames: dict[str, Any] = {name: _shaped(night, name) for name in NIGHT_SCHEMAS}
    for name, keys in _UNIQUE.items():
        _check_unique(night, name, frames[name], keys)
    checked: NightRecords = dataclasses.replace(night, **frames)
    _check_values(checked)
    _check_references(checked)
    return checked


def check_images(night: NightRecords) -> None:
    """Checks hash, size and decoding of every picture.

    Raises:
        WarehouseError: Naming the night and the first few keys at fault.
    """
    faults = image_faults(night.assets)
    if faults.height:
        shown = [f"{key} ({detail})" for key, detail in faults.rows()]
        raise _fault(night, f"pictures are damaged: {_named(shown)}", "assets", ("image",))


def check_across(connection: DuckDBPyConnection, night: NightFacts) -> None:
    """Checks what spans the parts of a night, whose `staged_*` tables are readable.

    Raises:
        WarehouseError: A key is in two parts, or one part serves what another one rejects.
    """
    for script, what in (("repeated", "occur more than once"), ("both_verdicts", _BOTH)):
        for table, column, count, first in fetch_each(connection, sql_text(f"publish/{script}")):
            if count:
                raise _fault(night, f"{_named(first, count)} {what}", table, (column,))


def check_table(night: NightFacts, name: str, table: pl.LazyFrame) -> pl.LazyFrame:
    """Returns a table with columns in order and type, missing optional ones as nulls.

    Raises:
        WarehouseError: A column is missing or unknown.
    """
    schema, columns = NIGHT_SCHEMAS[name], table.collect_schema().names()
    missing = [c for c in schema if c not in columns and c not in _OPTIONAL]
    unknown = [c for c in columns if c not in schema]
    if missing or unknown:
        raise _fault(night, f"columns missing: {missing}, columns unknown: {unknown}", name)
    added = [pl.lit(None).alias(c) for c in schema if c not in columns]
    return table.with_columns(added).select(pl.col(c).cast(t) for c, t in schema.items())


def check_nulls(night: NightFacts, name: str, nulls: Mapping[str, int]) -> None:
    """Checks the numbers of nulls in the columns of a table.

    Raises:
        WarehouseError: A column that must have values lacks some.
    """
    wrong = [column for column, count in nulls.items() if count and column not in _NULLABLE]
    if wrong:
        raise _fault(night, f"columns hold nulls: {wrong}", name)


def _shaped(night: NightRecords, name: str) -> pl.DataFrame:
    """Returns a frame as `check_table`, without repeated pictures and scores."""
    try:
        frame = check_table(night, name, getattr(night, name).lazy()).collect()
    except pl.exceptions.PolarsError as error:
        raise _fault(night, f"a column has the wrong type: {error}", name) from error
    check_nulls(night, name, {column: frame[column].null_count() for column in frame.columns})
    if name == "assets":
        return frame.unique(["asset_key", "image_sha256"], keep="first", maintain_order=True)
    return frame.unique(maintain_order=True) if name == "scores" else frame


def _check_unique(
    night: NightRecords, name: str, frame: pl.DataFrame, keys: tuple[str, ...]
) -> None:
    twice = frame.filter(pl.struct(keys).is_duplicated()).select(keys).unique(maintain_order=True)
    if twice.height:
        shown = [" / ".join(map(str, row)) for row in twice.rows()]
        raise _fault(night, f"{_named(shown)} occur more than once", name, keys)


def _check_values(night: NightRecords) -> None:
    for name, column in (("scores", "value"), ("assets", "mask_ratio"), ("run_assets", "priority")):
        frame: pl.DataFrame = getattr(night, name)
        bad = frame.filter(~pl.col(column).is_finite())["asset_key"].to_list()
        if bad:
            raise _fault(night, f"no finite number for {_named(bad)}", name, (column,))
    strange = night.run_assets.filter(~pl.col("origin").is_in(_ORIGINS))["origin"].unique().sort()
    if strange.len():
        raise _fault(
            night,
            f"{_named(strange.to_list())} is not one of {', '.join(_ORIGINS)}",
            "run_assets",
            ("origin",),
        )


def _check_references(night: NightRecords) -> None:
    for frame, what, keys in _broken_references(night):
        if keys:
            raise _fault(night, f"{_named(keys)} {what}", frame)


def _broken_references(night: NightRecords) -> Iterator[tuple[str, str, list[str]]]:
    """Yields frame, fault and the keys that have it, usually none, for every rule."""
    served, rejected = night.run_assets, night.rejections
    assets, scores = night.assets, night.scores
    gated = pl.concat([served["asset_key"], rejected["asset_key"]]).to_frame()
    selected = scores.filter(pl.col("metric") == "selection_score")
    pair = ["user_id", "item_id"]
    shared = served.join(rejected, on=pair, how="semi").select(pl.concat_str(pair, separator=" / "))

    yield "rejections", _BOTH, _keys(served, rejected, "semi")
    yield "rejections", _BOTH, shared.to_series().to_list()
    yield "assets", "are not served to any user", _keys(assets, served, "anti")
    yield "scores", "are neither served nor rejected", _keys(scores, gated, "anti")
    yield "scores", "have no selection_score", _keys(assets, selected, "anti")


def _keys(frame: pl.DataFrame, other: pl.DataFrame, how: Literal["semi", "anti"]) -> list[str]:
    keys = frame.join(other, on="asset_key", how=how)["asset_key"]
    return keys.unique().sort().to_list()


def _fault(
    night: NightFacts, what: str, frame: str, columns: tuple[str, ...] = ()
) -> WarehouseError:
    return WarehouseError(
        what,
        location=f"night {night.run_id}, {'.'.join((frame, *columns[:1]))}",
        remedy="Nothing was written",
    )


def _named(keys: list[str], count: int | None = None) -> str:
    more = (len(keys) if count is None else count) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
