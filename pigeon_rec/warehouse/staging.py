"""Staging: a night checked picture by picture and laid down as parquet, ready for its transaction.

The staging folder holds one file per frame of `NightRecords` and `night.json`, which names them
with their SHA-256. It is written under another name and renamed whole, so it is there or not; a
night that is read back is exactly the one that was checked.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.runtime.files import replacing_folder
from pigeon_rec.warehouse._checks import check_night
from pigeon_rec.warehouse.records import NIGHT_SCHEMAS, NightRecords

__all__ = ["StagedNight", "read_staged", "stage"]

_INDEX: Final = "night.json"
_FACTS: Final = ("model_version", "settings_hash", "seed", "planned", "skipped")


@dataclass(frozen=True)
class StagedNight:
    """A night that has passed every check; only `stage` and `read_staged` make one.

    Attributes:
        night: Its frames, in the exact schema.
        folder: Where they lie.
    """

    night: NightRecords
    folder: Path


def stage(night: NightRecords, folder: Path) -> StagedNight:
    """Checks a night and writes it down.

    Checked are the columns and types, the references between the frames, and of every picture its
    hash, its size and that it decodes.

    Args:
        night: The night.
        folder: Staging folder; an earlier one is replaced.

    Raises:
        WarehouseError: The night is inconsistent, or the folder cannot be written. An earlier
            staging stays as it was.
    """
    checked = check_night(night)
    try:
        with replacing_folder(folder) as fresh:
            for name in NIGHT_SCHEMAS:
                getattr(checked, name).write_parquet(fresh / f"{name}.parquet")
            index = json.dumps(_index(checked, fresh), indent=2, sort_keys=True)
            (fresh / _INDEX).write_text(index + "\n", encoding="utf-8")
    except OSError as error:
        raise WarehouseError(
            f"cannot stage the night: {error.strerror}",
            location=str(folder),
            remedy="Choose a work directory that can be written",
        ) from error
    return StagedNight(checked, folder)


def read_staged(folder: Path) -> StagedNight:
    """Reads a staged night back.

    Raises:
        WarehouseError: Nothing is staged there, or a file is not the one that was checked.
    """
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        damaged = [
            name for name, sha256 in index["files"].items() if file_sha256(folder / name) != sha256
        ]
        if damaged:
            raise ValueError(f"changed since: {', '.join(damaged)}")
        facts: dict[str, Any] = {name: index[name] for name in _FACTS}
        for name in NIGHT_SCHEMAS:
            facts[name] = pl.read_parquet(folder / f"{name}.parquet")
        date = dt.date.fromisoformat(index["logical_date"])
        night = NightRecords(logical_date=date, config=index["config"], **facts)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise WarehouseError(
            f"there is no whole staged night ({type(error).__name__}: {error})",
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
