"""Start-up time of the command line and of the DAG files.

Every figure is the median over new processes, run in turns. `pigeon-rec --help` is compared with an
interpreter that does nothing. A DAG file is run in Airflow's environment, in a process that has
already imported the modules with which Airflow reads DAG files; the time after that is the file's.
The bars are on wall-clock time. Processor time is given too, as an estimate for an idle machine.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.result import Bar, Figure, Result, timed
from benchmarks.runner import main

__all__ = ["DagTimes", "dag_times", "measure"]

PROCESSES = 9
HELP_BAR = 0.5  # seconds
DAG_BAR = 0.3

_ROOT = Path(__file__).resolve().parents[1]
_AIRFLOW = _ROOT / ".venv-airflow" / "bin" / "python"
_HELP = [sys.executable, "-m", "pigeon_rec.cli", "--help"]
_PARSE = """
import runpy, sys, time
began = time.perf_counter()
import airflow.dag_processing.dagbag, airflow.sdk
imported, worked = time.perf_counter(), time.process_time()
runpy.run_path(sys.argv[1])
print(imported - began, time.perf_counter() - imported, time.process_time() - worked)
"""


@dataclass(frozen=True)
class DagTimes:
    """Median seconds of one DAG file.

    Attributes:
        airflow: Airflow's own import.
        added: Wall-clock time of the file after that.
        processor: Processor time of the same.
    """

    airflow: float
    added: float
    processor: float


def measure(folder: Path, scale: float) -> Result:
    """Measures start-up times; `scale` multiplies the number of processes.

    Raises:
        LookupError: There is no Airflow environment.
    """
    if not _AIRFLOW.exists():
        raise LookupError(f"{_AIRFLOW} is missing: run `make setup`")
    count = max(1, round(PROCESSES * scale))
    before = _processor_of_children()
    _run(_HELP)
    processor = _processor_of_children() - before
    bare, with_help = timed(
        count,
        lambda: _run([sys.executable, "-c", "pass"]),
        lambda: _run(_HELP),
    )
    files = sorted((_ROOT / "dags").glob("*.py"))
    parsed = {file.stem: dag_times(file, folder, count) for file in files}
    own = median(times.airflow for times in parsed.values())
    return Result(
        f"cold start, median of {count} processes",
        [
            Figure("python -c pass", bare, "s"),
            Figure("pigeon-rec --help", with_help, "s"),
            Figure("pigeon-rec --help, processor time", processor, "s", "of one process"),
            Figure("pigeon-rec --help against python -c pass", with_help / bare, "times"),
            Figure("Airflow's own import", own, "s", "the modules it reads DAG files with"),
            *(
                figure
                for name, times in parsed.items()
                for figure in (
                    Figure(f"{name} against Airflow's own import", times.added / own, "times"),
                    Figure(f"{name}, processor time", times.processor, "s"),
                )
            ),
        ],
        [
            Bar("seconds of pigeon-rec --help", with_help, HELP_BAR, at_least=False),
            *(
                Bar(f"seconds that {name} adds", times.added, DAG_BAR, at_least=False)
                for name, times in parsed.items()
            ),
        ],
    )


def dag_times(file: Path, home: Path, processes: int) -> DagTimes:
    """Runs a DAG file as Airflow does.

    Args:
        file: The DAG file.
        home: A folder for Airflow's settings, instead of the user's own.
        processes: Number of processes to start.
    """
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
        "PYTHONPATH": "",  # only Airflow's environment
    }
    command = [str(_AIRFLOW), "-c", _PARSE, str(file)]
    printed = [_run(command, **settings).splitlines()[-1].split() for _ in range(processes)]
    laps = [[float(seconds) for seconds in line] for line in printed]
    return DagTimes(*(median(column) for column in zip(*laps, strict=True)))


def _processor_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: list[str], **settings: str) -> str:
    environment = {**os.environ, "COLUMNS": "120", **settings}
    return subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main(measure)
