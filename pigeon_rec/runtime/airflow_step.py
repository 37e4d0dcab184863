"""Runs one step of a night or an alignment inside an Airflow task."""

from __future__ import annotations

import datetime as dt
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from pigeon_rec.errors import ConfigError, PigeonError
from pigeon_rec.runtime.files import storage_errors
from pigeon_rec.runtime.progress import Progress, log_lines, log_progress

__all__ = ["TEMPORARY_FAILURE", "check_date", "latest_date", "parse_date", "run_airflow_step"]

TEMPORARY_FAILURE: Final = 75
"""Exit status (EX_TEMPFAIL) of a step that may succeed if it is run again."""

logger = logging.getLogger(__name__)


def parse_date(text: str) -> dt.date:
    """Reads a logical date.

    Raises:
        ConfigError: `text` is not an ISO date, or the last day that has a number.
    """
    try:
        date = dt.date.fromisoformat(text)
        date + dt.timedelta(days=1)  # a night goes on to the next day
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            f"{text!r} is not an ISO date", location="date", remedy="Write it as 2026-06-01"
        ) from error
    return date


def latest_date() -> dt.date:
    """Returns tomorrow in UTC: it has begun somewhere; later dates are in the future everywhere."""
    return dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)


def check_date(date: dt.date) -> None:
    """Checks that a logical date is not in the future, since the newest night is the served one.

    Raises:
        ConfigError: `date` is after tomorrow (UTC).
    """
    if date > latest_date():
        raise ConfigError(
            f"{date} is in the future: its night would be served until then",
            location="date",
            remedy="Correct the date; `pigeon-rec nightly ... --future` accepts it",
        )


def run_airflow_step(
    step: str, date: str, run: Callable[[dt.date, Progress], dict[str, Any]]
) -> dict[str, Any]:
    """Runs a step with log lines for progress, and logs its summary or its error.

    `run` reads the settings, runs the step and returns its summary.

    Raises:
        SystemExit: The step raised a `PigeonError`. The status is `TEMPORARY_FAILURE` if the same
            step may succeed later, else the exit code of the error.
    """
    log_lines(sys.stdout)
    try:
        with storage_errors(f"{step} of {date}"):
            summary = run(parse_date(date), log_progress())
    except PigeonError as error:
        logger.error("%s: %s", type(error).__name__, error)
        raise SystemExit(TEMPORARY_FAILURE if error.retryable else error.exit_code) from None
    logger.info("%s: %s", step, _line(summary))
    return summary


def _line(summary: Mapping[str, Any]) -> str:
    """The single values of a summary in one line; all of it if there are none."""
    single = {key: value for key, value in summary.items() if not isinstance(value, dict | list)}
    return ", ".join(f"{key} {value}" for key, value in (single or summary).items())
