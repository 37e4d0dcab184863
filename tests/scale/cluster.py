"""A whole Airflow cluster on this machine: PostgreSQL, Redis, scheduler and Celery workers."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cluster", "running_cluster", "wait_until"]

_PARTS = (("api-server", "--workers", "1"), ("scheduler",), ("dag-processor",))
_LOST_AFTER = 60  # seconds without a sign of life until a task counts as lost


@dataclass(frozen=True)
class Cluster:
    """What is running.

    Attributes:
        airflow: The command of Airflow.
        environment: Of all its parts.
        folder: Logs and data.
        database: Address of the metadata in PostgreSQL.
        workers: Celery workers by name, each the leader of a session of its own.
    """

    airflow: Path
    environment: dict[str, str]
    folder: Path
    database: str
    workers: dict[str, subprocess.Popen[bytes]]

    def run(self, *arguments: str) -> str:
        """Runs an Airflow command to its end; raises where it fails."""
        ended = subprocess.run(
            [self.airflow, *arguments],
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
        return ended.stdout

    def ask(self, statement: str) -> list[list[str]]:
        """Rows of a question to the metadata."""
        command = ["psql", self.database, "-At", "-F", "|", "-c", statement]
        found = subprocess.run(command, text=True, capture_output=True, check=True)
        return [line.split("|") for line in found.stdout.splitlines()]

    def kill(self, worker: str) -> None:
        """Ends a worker and all its tasks as a machine that loses its power does."""
        _signal(self.workers[worker].pid, signal.SIGKILL)
        self.workers[worker].wait()

    def draws(self, worker: str) -> bool:
        """Whether the worker's processes include one that is running the product."""
        python = self.environment["PIGEON_PYTHON"]
        return python in map(_program, _session(self.workers[worker].pid))


@contextmanager
def running_cluster(
    folder: Path,
    airflow: Path,
    settings: dict[str, str],
    workers: dict[str, tuple[str, dict[str, str]]],
) -> Iterator[Cluster]:
    """A cluster that ends with the block.

    Args:
        folder: An empty folder.
        airflow: The command of Airflow.
        settings: Environment variables of every part.
        workers: Celery workers by name: their queues, and environment variables of their own.
    """
    with ExitStack() as stack:
        database = stack.enter_context(_postgres(folder))
        broker = stack.enter_context(_redis(folder))
        environment = {**os.environ, **_airflow_settings(folder, database, broker), **settings}
        cluster = Cluster(airflow, environment, folder, database, {})
        cluster.run("db", "migrate")
        for part in _PARTS:
            command: list[str | Path] = [airflow, *part]
            stack.enter_context(_started(command, environment, folder / f"{part[0]}.log"))
        for name, (queues, own) in workers.items():
            command = [airflow, "celery", "worker", "-c", "1", "-H", f"{name}@%h", "-q", queues]
            log_port = {"AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port())}
            worker = _started(command, environment | log_port | own, folder / f"{name}.log")
            cluster.workers[name] = stack.enter_context(worker)
        yield cluster


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Waits; raises AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.5)


def _airflow_settings(folder: Path, database: str, broker: str) -> dict[str, str]:
    port = str(_free_port())
    alchemy = database.replace("postgresql://", "postgresql+psycopg2://")
    return {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__SECRET_KEY": "of-this-test-cluster-alone",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of-this-test-cluster-alone-and-long-enough-for-hs512-"
        "which-asks-for-64-bytes",
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{alchemy}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": alchemy,
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(_LOST_AFTER),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
    }


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """A PostgreSQL of its own; as root it runs as `postgres`, since it refuses to be root."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    data, port = folder / "postgres", _free_port()
    data.mkdir()
    user = None if os.geteuid() else "postgres"
    if user:
        for parent in [folder, *folder.parents]:
            if parent.stat().st_uid == 0 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o111)  # so that `postgres` gets to its data
        shutil.chown(data, user, user)
    made: list[str | Path] = [binaries / "initdb", "-D", data, "-U", "pigeon", "-A", "trust"]
    with _started(made, None, folder / "initdb.log", user) as process:
        assert process.wait() == 0, (folder / "initdb.log").read_text("utf-8")
    listen = ["-h", "127.0.0.1", "-p", str(port), "-k", str(data), "-c", "fsync=off"]
    with _started([binaries / "postgres", "-D", data, *listen], None, folder / "pg.log", user):
        wait_until(lambda: _answers(port), 60, "PostgreSQL")
        command = ["psql", f"postgresql://pigeon@127.0.0.1:{port}/postgres", "-c"]

        def created() -> bool:
            statement = "CREATE DATABASE airflow"
            made = subprocess.run([*command, statement], check=False, capture_output=True)
            return made.returncode == 0

        wait_until(created, 60, "the database")
        yield f"postgresql://pigeon@127.0.0.1:{port}/airflow"


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    port = _free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with _started(command, None, folder / "redis.log"):
        wait_until(lambda: _answers(port), 30, "Redis")
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _started(
    command: Sequence[str | Path],
    environment: dict[str, str] | None,
    log: Path,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block, and all of its session; its output in a log."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            _signal(process.pid, signal.SIGKILL)  # whatever it has left behind


def _session(leader: int) -> list[int]:
    """Processes of one session; Airflow gives every task a process group of its own in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if os.getsid(int(entry.name)) == leader:
                found.append(int(entry.name))
    return found


def _signal(leader: int, number: signal.Signals) -> None:
    for process in _session(leader):
        with suppress(OSError):
            os.kill(process, number)


def _program(process: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text("utf-8", "replace").partition("\0")[0]
    return ""


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
