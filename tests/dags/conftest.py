"""Fixtures of the DAG tests: the DAG files as Airflow reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

RetryDecisions = Callable[..., dict[str, str]]


def last_json(output: str) -> Any:
    """Reads the JSON object on the last line, after Airflow's log."""
    return json.loads(output.rstrip().rsplit("\n", 1)[-1])


@pytest.fixture(scope="session")
def described(airflow: Any, repository: Path) -> dict[str, Any]:
    """Every DAG of the repository as Airflow reads it."""
    answer = airflow.run(str(HERE / "describe.py"), str(repository / "dags"))
    assert answer.returncode == 0, answer.stdout
    description: dict[str, Any] = last_json(answer.stdout)
    return description


@pytest.fixture(scope="session")
def retry_decisions(airflow: Any, repository: Path) -> RetryDecisions:
    """Decisions of the retry policy of a DAG file on exit statuses."""

    def ask(module: str, *statuses: str) -> dict[str, str]:
        policy = str(HERE / "policy.py")
        answer = airflow.run(policy, str(repository / "dags"), module, *statuses)
        assert answer.returncode == 0, answer.stdout
        decisions: dict[str, str] = last_json(answer.stdout)
        return decisions

    return ask
