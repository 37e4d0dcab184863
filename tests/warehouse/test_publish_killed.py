"""A publishing process that dies at any moment leaves the night before, or the finished night."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pigeon_rec.warehouse import open_warehouse, publish
from tests.warehouse.nights import SECOND, Pair, contents, night_of

YESTERDAY: list[Pair] = [(f"user-{n}", "noto/apple") for n in range(5)]
TODAY: list[Pair] = [(f"user-{n}", "noto/pear") for n in range(200)]

STOPS_INSIDE = """
import importlib, sys, time
from pathlib import Path
from pigeon_rec.warehouse import open_warehouse, publish
from tests.warehouse.nights import SECOND, night_of
from tests.warehouse.test_publish_killed import TODAY, YESTERDAY

module = importlib.import_module("pigeon_rec.warehouse.publish")
real = module.run_script

def stops(connection, sql, params):
    real(connection, sql, params)
    print("written, not committed", flush=True)
    time.sleep(60)

module.run_script = stops
with open_warehouse(Path(sys.argv[1])) as connection:
    publish(connection, night_of(TODAY, date=SECOND, reused=YESTERDAY))
"""

PUBLISHES = """
import sys
from pathlib import Path
from pigeon_rec.warehouse import open_warehouse, publish
from tests.warehouse.nights import SECOND, night_of
from tests.warehouse.test_publish_killed import TODAY, YESTERDAY

night = night_of(TODAY, date=SECOND, reused=YESTERDAY)
print("ready", flush=True)
with open_warehouse(Path(sys.argv[1])) as connection:
    publish(connection, night)
print("done", flush=True)
"""


def start(program: str, writer_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(writer_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def publish_yesterday(writer_path: Path) -> dict[str, list[tuple[object, ...]]]:
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of(YESTERDAY, rejected=[("user-9", "noto/fig")], problems=2))
        return contents(connection)


def finish(writer_path: Path) -> None:
    night = night_of(TODAY, date=SECOND, reused=YESTERDAY)
    with open_warehouse(writer_path) as connection:
        published = publish(connection, night)
        assert (published.generated, published.reused) == (200, 5)
        served = connection.execute("SELECT count(*) FROM served_assets").fetchall()
        assert served == [(205,)]


def test_killed_between_writing_and_committing(writer_path: Path) -> None:
    yesterday = publish_yesterday(writer_path)
    process = start(STOPS_INSIDE, writer_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "written, not committed\n"
    kill(process)
    with open_warehouse(writer_path) as connection:
        assert contents(connection) == yesterday
    finish(writer_path)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_moment(writer_path: Path, seed: int) -> None:
    yesterday = publish_yesterday(writer_path)
    process = start(PUBLISHES, writer_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0.0, 0.25))
    kill(process)
    with open_warehouse(writer_path) as connection:
        found = contents(connection)
    if len(found["runs"]) == 1:
        assert found == yesterday
    else:
        assert {name: len(rows) for name, rows in found.items()} == {
            "runs": 2,
            "assets": 205,
            "run_assets": 210,
            "asset_scores": 3 * 206,
            "rejections": 1,
            "problems": 2,
        }
    finish(writer_path)
