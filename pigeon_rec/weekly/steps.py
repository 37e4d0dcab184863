"""The steps of an alignment by name, for the command line and the Airflow DAG.

Every step reads the files of the steps before it and writes its own, so each can run in another
process or on another day. A finished step is kept when it is run again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from pigeon_rec.runtime.airflow_step import run_airflow_step
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.weekly.config import WeeklyConfig, load_weekly
from pigeon_rec.weekly.records import StepRecord

__all__ = ["STEPS", "alignment_settings", "run", "run_in_airflow", "run_step"]

STEPS: Final[Mapping[str, str]] = {
    "prepare": "prepare",
    "reconstruct": "stages",
    "pairs": "stages",
    "prefer": "stages",
    "bundle": "stages",
    "evaluate": "evaluate",
    "check": "decide",
    "promote": "decide",
    "run": "steps",
}
"""Step -> module of its function, in the order of an alignment; `run` is all steps in one."""
_REPORTING: Final = ("prepare", "pairs", "evaluate", "run")
"""Steps that report progress."""


def alignment_settings(config: str | Path | None, work_dir: Path | None) -> WeeklyConfig:
    """Reads the configuration (`None`: the defaults); `work_dir`, if given, replaces its own."""
    settings = load_weekly(config)
    return settings if work_dir is None else settings.model_copy(update={"work_dir": work_dir})


def run_step(
    step: str, config: WeeklyConfig, date: dt.date, *, progress: Progress = silent
) -> dict[str, Any]:
    """Runs one step of the alignment and returns its summary as plain JSON values.

    Raises:
        PigeonError: The step cannot run; `retryable` says whether it may succeed later.
    """
    # Imported when called: the promotion check needs no torch, training no duckdb.
    function = getattr(import_module(f"pigeon_rec.weekly.{STEPS[step]}"), step)
    result = function(config, date, **({"progress": progress} if step in _REPORTING else {}))
    return result.summary() if isinstance(result, StepRecord) else dict(result)


def run_in_airflow(step: str, date: str, config: str, work_dir: str) -> dict[str, Any]:
    """Runs one step inside an Airflow task; see `pigeon_rec.runtime.airflow_step`.

    `date` is an ISO date; `config` is the name or path of a weekly YAML file; an empty `config` or
    `work_dir` means the default.

    Raises:
        SystemExit: The step raised a `PigeonError`.
    """

    def run_day(day: dt.date, progress: Progress) -> dict[str, Any]:
        settings = alignment_settings(config or None, Path(work_dir) if work_dir else None)
        return run_step(step, settings, day, progress=progress)

    return run_airflow_step(step, date, run_day)


def run(config: WeeklyConfig, date: dt.date, progress: Progress) -> dict[str, Any]:
    """Runs all steps in one process; promotes only an accepted model."""
    steps = [step for step in STEPS if step not in ("promote", "run")]
    parts = {step: run_step(step, config, date, progress=progress) for step in steps}
    verdict = parts["check"]
    promoted = run_step("promote", config, date) if verdict["accepted"] else {}
    return {
        **verdict,
        "serving_version": promoted.get("version", verdict["serving_version"]),
        "steps": [
            {"step": step, "kept": part.get("kept"), "seconds": part.get("seconds")}
            for step, part in parts.items()
        ],
    }
