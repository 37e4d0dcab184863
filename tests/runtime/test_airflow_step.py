"""One step in an Airflow task: log lines and exit status."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pigeon_rec.errors import CatalogueError, PigeonError
from pigeon_rec.runtime.airflow_step import TEMPORARY_FAILURE, run_airflow_step
from pigeon_rec.runtime.progress import Progress


class Busy(PigeonError):
    retryable = True


def test_the_summary_is_returned_and_its_single_values_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def run(date: dt.date, progress: Progress) -> dict[str, Any]:
        progress("assets", 1, 1)
        return {"date": str(date), "planned": 3, "shards": [1, 2], "reasons": {"blank": 1}}

    with caplog.at_level("INFO"):
        summary = run_airflow_step("plan", "2026-06-01", run)
        run_airflow_step("generate", "2026-06-01", lambda _, __: {"shards": [1, 2]})
    assert summary["shards"] == [1, 2]
    assert caplog.messages == [
        "assets: 1/1 (100%)",
        "plan: date 2026-06-01, planned 3",
        "generate: shards [1, 2]",
    ]


@pytest.mark.parametrize(
    ("error", "status"),
    [(CatalogueError("no such file"), 3), (Busy("in use"), TEMPORARY_FAILURE)],
)
def test_an_error_ends_the_task_with_its_exit_status(
    error: PigeonError, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def run(_: dt.date, __: Progress) -> dict[str, Any]:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_airflow_step("plan", "2026-06-01", run)
    assert ended.value.code == status
    assert caplog.messages == [f"{type(error).__name__}: {error}"]


def test_a_date_that_is_no_iso_date_ends_the_task() -> None:
    with pytest.raises(SystemExit) as ended:
        run_airflow_step("plan", "yesterday", lambda _, __: {})
    assert ended.value.code == 2
