"""Staging: a night is checked and written as parquet files before it is published.

The staging folder holds one file per frame of `NightRecords`, and `night.json` with their SHA-256.
It is written under a temporary name and renamed, so it is never incomplete.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.errors import WarehouseError, error_text, may_pass
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.runtime.files import read_json, read_parquet, replacing_folder, write_parquet
from pigeon_rec.warehouse._checks import check_night
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS, NightRecords

__all__ = ["StagedNight", "read_staged", "stage"]

_INDEX: Final = "night.json"
_FACTS: Final = ("model_version", "settings_hash", "seed", "planned", "skipped")


@dataclass(frozen=True)
class StagedNight:
    """A night that has passed all checks, and its staging folder."""

    night: NightRecords
    folder: Path


def stage(night: NightRecords, folder: Path) -> StagedNight:
    """Checks a night and writes it to the staging folder.

    Checks columns and types, references between the frames, and hash, size and decoding of every
    picture. An existing folder is replaced.

    Raises:
        WarehouseError: The night is inconsistent, or the folder cannot be written. An existing
            staging folder is unchanged.
    """
    checked = check_night(night)
    try:
        with replacing_folder(folder) as fresh:
            for name in NIGHT_SCHEMAS:
                write_parquet(getattr(checked, name), fresh / f"{name}.parquet")
            index = json.dumps(_index(checked, fresh), indent=2, sort_keys=True)
            (fresh / _INDEX).write_text(index + "\n", encoding="utf-8")
    except OSError as error:
        raise WarehouseError(
            f"cannot stage the night: {error.strerror or error_text(error)}",
            location=str(error.filename or folder),
            remedy="Free space on its disk, or choose a work directory that can be written",
            retryable=may_pass(error),
        ) from error
    return StagedNight(checked, folder)


def read_staged(folder: Path) -> StagedNight:
    """Reads a staged night back.

    Raises:
        WarehouseError: The folder is missing or incomplete, or a file was changed.
    """
    try:
        index = read_json(folder / _INDEX)
        damaged = [
            name for name, sha256 in index["files"].items() if file_sha256(folder / name) != sha256
        ]
        if damaged:
            raise ValueError(f"changed since: {', '.join(damaged)}")
        facts: dict[str, Any] = {name: index[name] for name in _FACTS}
        for name in NIGHT_SCHEMAS:
            facts[name] = read_parquet(folder / f"{name}.parquet")
        date = dt.date.fromisoformat(index["logical_date"])
        night = NightRecords(logical_date=date, config=index["config"], **facts)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise WarehouseError(
            f"there is no complete staged night ({type(error).__name__}: {error})",
            location=str(folder),
            remedy="Stage the night again: run `pigeon-rec nightly publish`",
        ) from error
    return StagedNight(night, folder)


def _index(night: NightRecords, folder: Path) -> Mapping[str, Any]:
    return {
        **{name: getattr(night, name) for name in _FACTS},
        "logical_date": night.run_id,
        "config": night.config,
        "files": {path.name: file_sha256(path) for path in sorted(folder.glob("*.parquet"))},
    }
