"""Airflow with the CeleryExecutor: scheduler and servers, and workers as separate machines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.conftest import ROOT
from tests.scale.processes import Running, start, wait_until
from tests.scale.servers import Database, free_port, missing_servers, postgresql, redis

__all__ = ["Cluster", "Machine", "missing_parts", "start_cluster"]

# `make scale-test` sets it up.
_PYTHON: Final = ROOT / ".venv-airflow-celery" / "bin" / "python"
_DAG: Final = "pigeon_nightly"
_HOME_QUEUE, _DRAW_QUEUE = "home", "draw"
_START: Final = 300.0  # seconds; enough for a busy machine


@dataclass(frozen=True)
class Machine:
    """A worker with its own work directory and logs.

    Attributes:
        running: The worker process.
        work_dir: Work directory; on the home machine, also that of the night's other steps.
        logs: Folder of its tasks' logs.
    """

    running: Running
    work_dir: Path
    logs: Path

    def shards_begun(self, run_id: str) -> list[tuple[int, int]]:
        """Position and attempt of each shard that this machine has started, from its task logs."""
        found = self.logs.glob(f"**/run_id={run_id}/task_id=generate/map_index=*/attempt=*.log")
        numbers = (re.findall(r"map_index=(\d+)/attempt=(\d+)", str(log))[0] for log in found)
        return sorted((int(position), int(attempt)) for position, attempt in numbers)


@dataclass(frozen=True)
class Cluster:
    """A running Airflow without workers.

    Attributes:
        folder: Logs and homes of all its processes.
        database: Airflow's metadata.
        environment: Environment variables of every process.
        services: Processes other than workers.
    """

    folder: Path
    database: Database
    environment: dict[str, str]
    services: list[Running] = field(default_factory=list)

    def run(self, *arguments: str) -> str:
        """Runs one command of Airflow and returns its output.

        Raises:
            AssertionError: It failed.
        """
        ended = subprocess.run(
            [_PYTHON, "-m", "airflow", *arguments],
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_START,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    def start(self, log: Path, *arguments: str, **variables: str) -> Running:
        """Starts one of Airflow's long-running commands."""
        environment = {**self.environment, **variables}
        return start([_PYTHON, "-m", "airflow", *arguments], log, environment)

    @contextmanager
    def machine(self, folder: Path, config: Path, *, home: bool) -> Iterator[Machine]:
        """Starts a worker that runs one task at a time.

        Args:
            folder: New folder for all its files; its name is that of the machine.
            config: Settings of the night.
            home: Whether it runs all steps; if not, the machine only draws.
        """
        folder.mkdir()
        name = folder.name
        queues = f"{_HOME_QUEUE},{_DRAW_QUEUE}" if home else _DRAW_QUEUE
        running = self.start(
            folder.with_suffix(".log"),
            *("celery", "worker", "--skip-serve-logs", "--without-gossip", "--without-mingle"),
            *("--queues", queues, "--celery-hostname", name, "--concurrency", "1"),
            AIRFLOW_HOME=str(folder),
            AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(folder / "logs"),
            PIGEON_CONFIG=str(config),
            PIGEON_WORK_DIR=str(folder / "var"),
        )
        try:
            wait_until(
                lambda: f"{name} ready" in running.tail(), f"{name} is ready", [running], _START
            )
            yield Machine(running, folder / "var", folder / "logs")
        finally:
            running.kill()

    def trigger(self, run_id: str, date: str) -> None:
        """Starts the night of a date."""
        self.run("dags", "trigger", _DAG, "--run-id", run_id, "--logical-date", date)

    def state(self, run_id: str) -> str:
        """Airflow's state of the night."""
        ((state,),) = self.database.query(f"SELECT state FROM dag_run WHERE run_id = '{run_id}'")
        return state

    def seconds(self, run_id: str) -> tuple[float, float]:
        """Seconds of a finished night, and from the start of its first shard to its last's end."""
        ((whole,),) = self.database.query(
            f"SELECT extract(epoch FROM end_date - start_date) FROM dag_run "
            f"WHERE run_id = '{run_id}'"
        )
        ((drawing,),) = self.database.query(
            f"SELECT extract(epoch FROM max(end_date) - min(start_date)) FROM task_instance "
            f"WHERE run_id = '{run_id}' AND task_id = 'generate'"
        )
        return float(whole), float(drawing)

    def finish(self, run_id: str, *workers: Running, patience: float = 1500.0) -> None:
        """Waits until a night ends, at most `patience` seconds.

        Raises:
            AssertionError: It did not succeed, or a worker or service ended before it.
        """
        watched = [*self.services, *workers]
        ended = {"success", "failed"}
        wait_until(lambda: self.state(run_id) in ended, "the night ends", watched, patience)
        assert self.state(run_id) == "success", "\n".join(running.tail() for running in watched)


def missing_parts() -> list[str]:
    """The required programs that are not installed."""
    return missing_servers() + ([] if _PYTHON.exists() else ["Airflow with Celery"])


@contextmanager
def start_cluster(folder: Path, slots: int = 2) -> Iterator[Cluster]:
    """Starts Airflow and its servers, without workers, and ends them.

    Args:
        folder: Folder of logs and homes.
        slots: Maximum number of shards drawn at the same time.
    """
    with postgresql(folder) as database, redis(folder) as broker:
        running = Cluster(folder, database, _environment(folder, database, broker))
        running.run("db", "migrate")
        running.run("pools", "set", "pigeon_accelerator", str(slots), "shards at the same time")
        try:
            port = running.environment["AIRFLOW__API__PORT"]
            api = ("api-server", "--host", "127.0.0.1", "--port", port, "--workers", "1")
            for name, arguments in {
                "api-server": (*api, "--apps", "execution"),
                "scheduler": ("scheduler", "--skip-serve-logs"),
                "dag-processor": ("dag-processor",),
            }.items():
                running.services.append(running.start(folder / f"{name}.log", *arguments))
            wait_until(
                lambda: _is_known(database), f"{_DAG} has been read", running.services, _START
            )
            running.run("dags", "unpause", _DAG)
            yield running
        finally:
            for service in running.services:
                service.kill()


def _is_known(database: Database) -> bool:
    return bool(database.query(f"SELECT 1 FROM serialized_dag WHERE dag_id = '{_DAG}'"))


def _environment(folder: Path, database: Database, broker: str) -> dict[str, str]:
    """Environment variables that must be the same in every process."""
    port = free_port()
    address = f"postgresql+psycopg2://{database.location}"
    settings = {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CORE__DAGS_FOLDER": ROOT / "dags",
        "CORE__LOAD_EXAMPLES": "false",
        "CORE__PARALLELISM": 4,
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": address,
        "API__PORT": port,
        "API__SECRET_KEY": "of-this-test",
        "API_AUTH__JWT_SECRET": "the same in every process of this test, and long enough for HS512",
        "CELERY__BROKER_URL": broker,
        "CELERY__RESULT_BACKEND": f"db+{address}",
        "CELERY__SYNC_PARALLELISM": 1,
        "LOGGING__BASE_LOG_FOLDER": folder / "logs",
        # Only triggered nights.
        "SCHEDULER__USE_JOB_SCHEDULE": "false",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 45,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
        "USAGE_DATA_COLLECTION__ENABLED": "false",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 3,
    }
    return {
        **os.environ,
        **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
        "AIRFLOW_HOME": str(folder),
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "PIGEON_PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),  # this checkout, not an installed package
        "PIGEON_QUEUE": _HOME_QUEUE,
        "PIGEON_DRAW_QUEUE": _DRAW_QUEUE,
    }
