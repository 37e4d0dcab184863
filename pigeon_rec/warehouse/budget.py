"""The number of pictures a night may plan, also where the limit is given in minutes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pigeon_rec.config import PlanConfig
from pigeon_rec.warehouse.planning import drawing_times

__all__ = ["DEFAULT_SECONDS", "START_SECONDS", "Budget", "night_budget"]

DEFAULT_SECONDS: Final = 1.7
"""Seconds per picture before any night was measured: the bundled model with its default settings
on one CPU core (`python -m benchmarks.generation`, shards of 40)."""

START_SECONDS: Final = 6.0
"""Seconds of the same core before a shard's first picture, to load model, scorer and catalogue."""

_NIGHTS: Final = 7


@dataclass(frozen=True)
class Budget:
    """The limit of a night.

    Attributes:
        assets: Pictures that may be planned.
        seconds_per_asset: Expected time of one picture.
        measured_nights: Number of earlier nights it was measured in; 0 for the default.
    """

    assets: int
    seconds_per_asset: float
    measured_nights: int


def night_budget(
    config: PlanConfig, warehouse: Path, date: dt.date, model_version: str, settings_hash: str
) -> Budget:
    """Returns the lower of `max_assets` and `max_minutes`.

    The time of a picture is the median over the last seven nights before `date` that drew with the
    same model and settings; if there are none, over the last seven nights with any others. Only
    earlier nights count, so a date planned again has the same budget.

    Raises:
        WarehouseError: The warehouse cannot be read.
    """
    times = drawing_times(warehouse, before=date)
    same = (times["model_version"] == model_version) & (times["settings_hash"] == settings_hash)
    measured = times.filter(same) if same.any() else times
    recent = measured.sort("logical_date", descending=True).head(_NIGHTS)
    median = (recent["seconds"] / recent["assets"]).median()
    seconds = float(median) if isinstance(median, float) else DEFAULT_SECONDS
    assets = config.max_assets
    if config.max_minutes is not None:
        assets = int(min(assets, config.max_minutes * 60.0 / seconds))
    return Budget(assets, round(seconds, 6), recent.height)
