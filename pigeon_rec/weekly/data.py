"""The data of an alignment: fixed when it begins, the same for all of its steps."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pigeon_rec.data.settings import DataSettings, TableSettings
from pigeon_rec.inputs.data import prepared_data
from pigeon_rec.runtime.progress import Progress
from pigeon_rec.weekly.config import WeeklyConfig
from pigeon_rec.weekly.paths import AlignmentPaths

__all__ = ["data_inputs", "end_of", "prepared"]


def prepared(config: WeeklyConfig, paths: AlignmentPaths, progress: Progress) -> DataSettings:
    """Imports tables that are not in our own form into the alignment's folder.

    Raises:
        PigeonError: A table cannot be read or has no usable row.
    """
    return prepared_data(config, paths.run, progress=progress)


def data_inputs(config: WeeklyConfig) -> dict[str, Any]:
    """The data as an input of a step; empty for the bundled stickers."""
    given = {name: getattr(config, name) for name in TableSettings.model_fields}
    tables = TableSettings.model_validate(given)
    return {} if tables == TableSettings() else {"data": tables.model_dump(mode="json")}


def end_of(date: dt.date) -> dt.datetime:
    """End of a date in UTC: an alignment reads what happened before."""
    return dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), dt.UTC)
