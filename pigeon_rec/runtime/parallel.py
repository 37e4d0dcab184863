"""Work on parts side by side, one new process per part."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from pigeon_rec.errors import PigeonError

__all__ = ["Report", "map_processes"]

Part = TypeVar("Part")
Result = TypeVar("Result")
Report = Callable[[int], None]
"""Takes how much more of a part is done."""


def map_processes(
    work: Callable[[Part, Report], Result], parts: Sequence[Part], report: Report
) -> list[Result]:
    """Runs `work` on every part and returns the results in the order of the parts.

    One part alone is worked on in this process; several each get a fresh interpreter, so parts and
    results must be picklable, and `work` a function of an importable module. If one part fails,
    the other processes are stopped.

    Args:
        work: Takes a part, and a function to report progress to.
        parts: At least one.
        report: Called in this process with every progress of any part.

    Raises:
        PigeonError: Raised by `work`, or a process died without a result.
    """
    if len(parts) == 1:
        return [work(parts[0], report)]
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in parts]
    processes = [
        context.Process(target=_run, args=(work, part, theirs), daemon=True)
        for part, (_, theirs) in zip(parts, pipes, strict=True)
    ]
    try:
        for process, (_, theirs) in zip(processes, pipes, strict=True):
            with _main_module_hidden():
                process.start()
            theirs.close()  # so that the end of the process is the end of the pipe
        results = _collect([ours for ours, _ in pipes], report)
    finally:
        for process in [process for process in processes if process.pid is not None]:
            process.terminate()
            process.join()
    return results


@contextlib.contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Keeps a new process from running the main script again.

    Scripts without `if __name__ == "__main__"`, such as those that Airflow writes for its tasks,
    would otherwise start their work anew in every process.
    """
    main = sys.modules["__main__"]
    hidden = {name: main.__dict__.pop(name, None) for name in ("__file__", "__spec__")}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update({name: value for name, value in hidden.items() if value is not None})


def _collect(connections: list[Connection], report: Report) -> list[Any]:
    results: dict[Connection, Any] = {}
    while waiting := [connection for connection in connections if connection not in results]:
        ready = wait(waiting)
        for connection in [connection for connection in waiting if connection in ready]:
            try:
                kind, value = connection.recv()
            except EOFError:
                raise PigeonError(
                    "a process ended before its work was done",
                    location=f"part {connections.index(connection) + 1} of {len(connections)}",
                    remedy="It may have run out of memory: use fewer processes",
                    retryable=True,
                ) from None
            if kind == "error":
                raise value
            if kind == "progress":
                report(value)
            else:
                results[connection] = value
    return [results[connection] for connection in connections]


def _run(work: Callable[[Part, Report], Result], part: Part, connection: Connection) -> None:
    try:
        result = work(part, lambda done: connection.send(("progress", done)))
    except Exception as error:  # noqa: BLE001 - raised again in the parent process
        connection.send(("error", error))
    else:
        connection.send(("result", result))
