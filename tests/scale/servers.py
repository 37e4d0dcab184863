"""A PostgreSQL and a Redis server for one test run, in temporary folders."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.scale.processes import start, wait_until

__all__ = ["Database", "free_port", "missing_servers", "postgresql", "redis"]

_OWNER = "postgres"  # PostgreSQL refuses to run as root
_PATIENCE = 60.0


@dataclass(frozen=True)
class Database:
    """A database with a socket in a private folder, which needs no password."""

    socket_folder: Path

    @property
    def location(self) -> str:
        """The database URL without the driver."""
        return f"{_OWNER}@/postgres?host={self.socket_folder}"

    def query(self, statement: str) -> list[list[str]]:
        """Runs a statement and returns its rows as text."""
        command = ["psql", "-XAtq", "-F", "\t", "-h", str(self.socket_folder), "-U", _OWNER]
        answer = subprocess.run(
            [*command, "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statement],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split("\t") for line in answer.stdout.splitlines()]


def missing_servers() -> list[str]:
    """The servers that are not installed."""
    found = {
        "postgresql": _postgresql_program("initdb"),
        "redis-server": shutil.which("redis-server"),
    }
    return [name for name, program in found.items() if program is None]


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@contextmanager
def postgresql(logs: Path) -> Iterator[Database]:
    """Runs a new PostgreSQL server, which listens only on a socket."""
    user = _OWNER if os.geteuid() == 0 else None
    # Not in pytest's folder, which only its owner can enter; and a socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="pigeon-postgresql-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        options = ("--auth=trust", "--no-sync", "--encoding=UTF8", f"--username={_OWNER}")
        subprocess.run(
            [_postgresql_program("initdb") or "initdb", *options, "-D", folder / "data"],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off")
        server = start(
            [
                _postgresql_program("postgres") or "postgres",
                *("-D", folder / "data"),
                *(word for setting in settings for word in ("-c", setting)),
            ],
            logs / "postgresql.log",
            user=user,
        )
        database = Database(folder)
        try:
            wait_until(lambda: _answers(database), "PostgreSQL answers", [server], _PATIENCE)
            yield database
        finally:
            server.stop()


@contextmanager
def redis(logs: Path) -> Iterator[str]:
    """Runs a Redis server without persistence; yields its URL."""
    port = free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no")
    server = start(["redis-server", *options, "--dir", logs], logs / "redis.log")
    try:
        wait_until(lambda: _listens(port), "Redis answers", [server], _PATIENCE)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.stop()


def _postgresql_program(name: str) -> str | None:
    """Path of a PostgreSQL program, which Debian keeps off PATH; the newest version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    return str(versions[-1]) if versions else shutil.which(name)


def _version(program: Path) -> float:
    return float(program.parts[-3])


def _answers(database: Database) -> bool:
    try:
        return database.query("SELECT 1") == [["1"]]
    except subprocess.CalledProcessError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
