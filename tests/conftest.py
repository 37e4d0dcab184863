"""Fixtures that tests of several packages share."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure, and the same examples everywhere make a red build repeatable.
settings.register_profile(
    "pigeon", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("pigeon")

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """What a run of `pigeon-rec` left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_log_levels() -> Iterator[None]:
    """Restores the log levels that RecBole and others set for the whole process."""
    loggers = [logging.getLogger(), logging.getLogger("pigeon_rec")]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    disabled = logging.root.manager.disable
    yield
    logging.disable(disabled)
    for logger, level, off in before:
        logger.setLevel(level)
        logger.disabled = off


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture
def pigeon(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Runs `pigeon-rec` with the given arguments in this process, its own `main` included."""
    from pigeon_rec.cli import main

    # Help is laid out for this width, whatever terminal the tests have.
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["pigeon-rec", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def airflow_python(repository: Path) -> Path:
    """The interpreter that has Airflow; `make test` sets it up."""
    python = repository / ".venv-airflow" / "bin" / "python"
    if not python.exists():
        pytest.skip("no Airflow environment: run `make setup`")
    return python


@dataclass(frozen=True)
class AirflowHome:
    """An Airflow of its own: fresh metadata database, this repository's DAGs."""

    python: Path
    environment: dict[str, str]

    def run(
        self, *arguments: str, timeout: float = 1500, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs the interpreter with `arguments`; `extra` environment variables come on top."""
        return subprocess.run(
            [self.python, *arguments],
            env={**self.environment, **extra},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )


@pytest.fixture(scope="session")
def airflow(
    repository: Path, airflow_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> AirflowHome:
    """A migrated Airflow home in a temporary folder."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(repository / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
        "PIGEON_PYTHON": sys.executable,
        "PIGEON_CONFIG": "",
        "PIGEON_WORK_DIR": str(home / "var"),
    }
    airflow_home = AirflowHome(airflow_python, environment)
    migrated = airflow_home.run("-m", "airflow", "db", "migrate")
    assert migrated.returncode == 0, migrated.stdout
    return airflow_home
