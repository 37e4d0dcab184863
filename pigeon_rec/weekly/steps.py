"""The steps of an alignment by name: what the command line and the Airflow DAG both call.

Every step reads the files of the steps before it and writes its own, so each can run alone, in
another process or on another day, and a finished one is kept when it is run again.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from pigeon_rec.errors import PigeonError
from pigeon_rec.runtime.airflow_step import TEMPORARY_FAILURE, parse_date
from pigeon_rec.runtime.progress import Progress, log_lines, log_progress, silent
from pigeon_rec.weekly.config import WeeklyConfig, load_weekly

__all__ = ["STEPS", "alignment_settings", "run_in_airflow", "run_step"]


def alignment_settings(config: str | Path | None, work_dir: Path | None) -> WeeklyConfig:
    """Reads the configuration (`None`: the defaults); `work_dir`, if given, replaces its own."""
    settings = load_weekly(config)
    return settings if work_dir is None else settings.model_copy(update={"work_dir": work_dir})


def run_step(
    step: str, config: WeeklyConfig, date: dt.date, *, progress: Progress = silent
) -> dict[str, Any]:
    """Runs one step of the alignment and returns its summary as plain JSON values.

    Args:
        step: One of `STEPS`.
        config: Settings of the alignment.
        date: Logical date.
        progress: Told of every finished batch.

    Raises:
        PigeonError: The step cannot run; its class says whether a second try may help.
    """
    return STEPS[step](config, date, progress)


def run_in_airflow(step: str, date: str, config: str, work_dir: str) -> dict[str, Any]:
    """Runs one step inside an Airflow task: logs lines instead of bars, ends by exit status.

    Args:
        step: One of `STEPS`.
        date: Logical date as `YYYY-MM-DD`.
        config: Path or name of the weekly YAML file; empty for the defaults.
        work_dir: Folder of alignments and warehouse; empty for the configuration's own.

    Raises:
        SystemExit: The step failed on purpose: `TEMPORARY_FAILURE` where a second try may help,
            else the exit status of the error. The message is in the task's log.
    """
    log_lines(sys.stdout)
    log = logging.getLogger(__name__)
    try:
        settings = alignment_settings(config or None, Path(work_dir) if work_dir else None)
        summary = run_step(step, settings, parse_date(date), progress=log_progress())
    except PigeonError as error:
        log.error("%s: %s", type(error).__name__, error)
        raise SystemExit(TEMPORARY_FAILURE if error.retryable else error.exit_code) from None
    log.info("%s: %s", step, _line(summary))
    return summary


def _line(summary: Mapping[str, Any]) -> str:
    """A summary in one line, without its tables."""
    facts = {key: value for key, value in summary.items() if not isinstance(value, list)}
    return ", ".join(f"{key} {value}" for key, value in facts.items())


# Each step imports its own module when called: the gate needs no torch, training no duckdb.


def _prepare(config: WeeklyConfig, date: dt.date, progress: Progress) -> dict[str, Any]:
    from pigeon_rec.weekly.prepare import prepare

    return prepare(config, date, progress=progress).summary()


def _reconstruct(config: WeeklyConfig, date: dt.date, _: Progress) -> dict[str, Any]:
    from pigeon_rec.weekly.stages import reconstruct

    return reconstruct(config, date).summary()


def _pairs(config: WeeklyConfig, date: dt.date, progress: Progress) -> dict[str, Any]:
    from pigeon_rec.weekly.stages import pairs

    return pairs(config, date, progress=progress).summary()


def _prefer(config: WeeklyConfig, date: dt.date, _: Progress) -> dict[str, Any]:
    from pigeon_rec.weekly.stages import prefer

    return prefer(config, date).summary()


def _bundle(config: WeeklyConfig, date: dt.date, _: Progress) -> dict[str, Any]:
    from pigeon_rec.weekly.stages import bundle

    return bundle(config, date).summary()


def _evaluate(config: WeeklyConfig, date: dt.date, progress: Progress) -> dict[str, Any]:
    from pigeon_rec.weekly.evaluate import evaluate

    return evaluate(config, date, progress=progress).summary()


def _gate(config: WeeklyConfig, date: dt.date, _: Progress) -> dict[str, Any]:
    from pigeon_rec.weekly.decide import decide

    return decide(config, date)


def _promote(config: WeeklyConfig, date: dt.date, _: Progress) -> dict[str, Any]:
    from pigeon_rec.weekly.decide import promote

    return promote(config, date)


def _run(config: WeeklyConfig, date: dt.date, progress: Progress) -> dict[str, Any]:
    """All steps in one process; the last one only where the gate accepts."""
    steps = [step for step in STEPS if step not in ("promote", "run")]
    parts = {step: run_step(step, config, date, progress=progress) for step in steps}
    verdict = parts["gate"]
    promoted = run_step("promote", config, date) if verdict["accepted"] else {}
    return {
        **verdict,
        "serving_version": promoted.get("version", verdict["serving_version"]),
        "steps": [{"step": step, **_times(part)} for step, part in parts.items()],
    }


def _times(part: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part.get(name) for name in ("kept", "seconds")}


STEPS: Final[Mapping[str, Callable[[WeeklyConfig, dt.date, Progress], dict[str, Any]]]] = {
    "prepare": _prepare,
    "reconstruct": _reconstruct,
    "pairs": _pairs,
    "prefer": _prefer,
    "bundle": _bundle,
    "evaluate": _evaluate,
    "gate": _gate,
    "promote": _promote,
    "run": _run,
}
"""Every step by name, in the order of an alignment; `run` is all of them in one process."""
