"""Processes that a test starts, watches, and ends together with their children."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Running", "start", "wait_until"]


@dataclass(frozen=True)
class Running:
    """A process that leads its own session, and its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """Kills the whole session at once, as a power failure would.

        Not only the process group: Airflow starts every task in a new group.
        """
        while members := _members(self.process.pid):
            for member in members:
                with suppress(ProcessLookupError):
                    os.kill(member, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.05)
        self.process.wait()

    def stop(self, patience: float = 20.0) -> None:
        """Interrupts the process and kills the session after `patience` seconds."""
        self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.kill()

    def tail(self, characters: int = 4000) -> str:
        """Returns the exit status and the end of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")[-characters:]
        return f"--- {self.name}, exit status {self.process.poll()}\n{text}"


def start(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Running:
    """Starts a command in a new session.

    Args:
        command: Program and arguments.
        log: File of its output; its stem is the name of the process.
        environment: Environment variables; None for those of this process.
        user: User and group to run as, for programs that refuse to run as root.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd="/" if user else None,
            start_new_session=True,
        )
    return Running(log.stem, process, log)


def wait_until(
    happened: Callable[[], bool], what: str, processes: Sequence[Running], patience: float
) -> None:
    """Waits until `happened()` is true.

    Raises:
        AssertionError: A process ended or `patience` seconds passed; has the ends of the logs.
    """
    deadline = time.monotonic() + patience
    while not happened():
        ended = [running.name for running in processes if running.process.poll() is not None]
        late = time.monotonic() > deadline
        if ended or late:
            why = f"{', '.join(ended)} ended" if ended else f"{patience:.0f} s have passed"
            logs = "\n".join(running.tail() for running in processes)
            raise AssertionError(f"waited in vain until {what}: {why}\n{logs}")
        time.sleep(0.5)


def _members(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # the process has ended
            # The fields after the name in brackets: state, parent, group, session.
            fields = (process / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] not in "ZX":
                found.append(int(process.name))
    return found
