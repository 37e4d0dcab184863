"""The first step of a night: its tables are prepared and checked."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

from pigeon_rec.config import NightlyConfig
from pigeon_rec.inputs.check import InputCheck, check_inputs
from pigeon_rec.inputs.prepare import prepare_inputs
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.nightly.plan.budget import night_budget
from pigeon_rec.runtime.files import write_json
from pigeon_rec.runtime.progress import Progress, silent

__all__ = ["check_night", "check_tables"]


def check_tables(
    config: NightlyConfig, date: dt.date, *, progress: Progress = silent
) -> InputCheck:
    """Prepares and checks the tables of a night, and reports errors among its findings.

    Raises:
        PigeonError: A table cannot be read at all.
    """
    prepared = prepare_inputs(config, refresh=True, progress=progress)
    budget = night_budget(config.plan, NightPaths.of(config, date).warehouse, date, "", "")
    return check_inputs(
        prepared,
        until=end_of_day(date),
        seconds_per_asset=budget.seconds_per_asset,
        progress=progress,
    )


def check_night(
    config: NightlyConfig, date: dt.date, *, progress: Progress = silent
) -> dict[str, Any]:
    """Checks the tables and writes the result as `check.json` of the night.

    Raises:
        PlanError: The night would have nothing to draw.
        PigeonError: As `check_tables`.
    """
    check = check_tables(config, date, progress=progress)
    facts: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(check), default=str))
    write_json(facts, NightPaths.of(config, date).check)
    check.raise_errors()
    return facts
