"""A night that is killed at any moment leaves the night before served, or the finished one.

The real steps of a real night, stage, publish and promote, run in a process that is killed without
warning at moments spread over the whole of it. The interpreter is prepared once and forks, so that
forty nights take no longer than forty nights.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, WarehouseConfig
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.warehouse import (
    check_serving,
    check_warehouse,
    collect_garbage,
    open_warehouse,
    publish,
    served_assets,
)
from tests.nightly.made_night import NIGHT, MadeNight, Pair, small_night
from tests.warehouse.nights import SECOND, contents, night_of

KILLS = 40
NEXT = NIGHT + dt.timedelta(days=1)
ROOT = Path(__file__).resolve().parents[2]

FORKS = """
import datetime as dt, os, signal, sys, time
from pathlib import Path
from pigeon_rec.config import NightlyConfig, WarehouseConfig
from pigeon_rec.nightly.publish import promote_night, publish_night

print("ready", flush=True)
for line in sys.stdin:
    work_dir, images, date, seconds = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if not child:
        config = NightlyConfig(work_dir=Path(work_dir), warehouse=WarehouseConfig(images=images))
        publish_night(config, dt.date.fromisoformat(date))
        promote_night(config)
        os._exit(0)
    if seconds:
        # Until it is waited for, the number is the child's, even if the child has ended.
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1], flush=True)
"""

STOPS_INSIDE = """
import importlib, sys, time
from pathlib import Path
from pigeon_rec.warehouse import open_warehouse, publish
from tests.warehouse.nights import SECOND, night_of

module = importlib.import_module("pigeon_rec.warehouse.publish")
real = module.run_script

def stops(connection, sql, params):
    real(connection, sql, params)
    print("written, not committed", flush=True)
    time.sleep(60)

module.run_script = stops
with open_warehouse(Path(sys.argv[1])) as connection:
    publish(connection, night_of([("ann", "noto/pear")], date=SECOND, reused=[("ann", "noto/fig")]))
"""


class Forks:
    """A prepared interpreter that runs the night of a work directory in a child, on demand."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._line() == "ready"

    def run(self, config: NightlyConfig, *, kill_after: float | None = None) -> bool:
        """Runs `NEXT` to its end, or kills it; returns whether it was killed."""
        assert self._process.stdin is not None
        seconds = "" if kill_after is None else f"{kill_after:.4f}"
        words = (str(config.work_dir), config.warehouse.images, NEXT.isoformat(), seconds)
        self._process.stdin.write("\t".join(words) + "\n")
        self._process.stdin.flush()
        status = self._line()
        assert status == "0" or (seconds and status == str(int(signal.SIGKILL))), status
        return status != "0"

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    server = Forks()
    yield server
    server.close()


@dataclasses.dataclass(frozen=True)
class Stage:
    """One work directory that always starts from the same night before."""

    config: NightlyConfig
    prepared: Path
    before: pl.DataFrame

    @property
    def paths(self) -> NightPaths:
        return NightPaths.of(self.config, NEXT)

    def reset(self) -> None:
        # Pictures have absolute addresses, so every trial happens in the same place.
        shutil.rmtree(self.config.work_dir, ignore_errors=True)
        shutil.copytree(self.prepared, self.config.work_dir, symlinks=True)

    def served(self) -> pl.DataFrame:
        return served_assets(self.paths.serving)

    def assert_sound(self) -> None:
        assert check_warehouse(self.paths.warehouse).rows() == []
        assert check_serving(self.paths.serving).rows() == []


@pytest.fixture(params=["table", "file"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    images = "table" if request.param == "table" else f"file://{tmp_path}/work/pictures"
    config = NightlyConfig(work_dir=tmp_path / "work", warehouse=WarehouseConfig(images=images))
    small_night().write(config)
    publish_night(config, NIGHT)
    promote_night(config)
    pairs = [dataclasses.replace(pair, status="reuse") for pair in small_night().pairs[:3]]
    pairs += [Pair(f"user-{number}", "flat/apple") for number in range(40)]
    MadeNight(pairs, date=NEXT).write(config)
    shutil.copytree(config.work_dir, tmp_path / "prepared", symlinks=True)
    return Stage(config, tmp_path / "prepared", served_assets(NightPaths.of(config, NEXT).serving))


@pytest.mark.slow
def test_killed_at_random_moments_of_publish_and_promote(stage: Stage, forks: Forks) -> None:
    kills = KILLS // 2  # the other half with the other storage
    durations = []
    for _ in range(3):
        stage.reset()
        started = time.monotonic()
        forks.run(stage.config)
        durations.append(time.monotonic() - started)
    after = stage.served()
    assert after.height == 43
    assert not after.equals(stage.before)

    moments = random.Random(20260601)
    killed = 0
    for number in range(kills):
        stage.reset()
        moment = (number + moments.random()) / kills
        killed += forks.run(stage.config, kill_after=moment * sorted(durations)[1])
        found = stage.served()
        assert found.equals(stage.before) or found.equals(after), number
        stage.assert_sound()

        publish_night(stage.config, NEXT)
        promote_night(stage.config)
        assert stage.served().equals(after)
        collect_garbage(
            stage.paths.warehouse, stage.paths.serving, images=stage.config.warehouse.images
        )
        stage.assert_sound()
        names = ("*.tmp*", "*.new", "*.old")
        assert [p for name in names for p in stage.config.work_dir.rglob(name)] == []
    # Some nights may get to their end before their moment comes; most must not.
    assert killed > kills / 2


def test_killed_between_writing_and_committing(writer_path: Path) -> None:
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([("ann", "noto/fig")], problems=2))
        before = contents(connection)
    process = subprocess.Popen(
        [sys.executable, "-c", STOPS_INSIDE, str(writer_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written, not committed\n"
    process.kill()
    process.communicate()
    assert check_warehouse(writer_path).rows() == []
    with open_warehouse(writer_path) as connection:
        assert contents(connection) == before
        night = night_of([("ann", "noto/pear")], date=SECOND, reused=[("ann", "noto/fig")])
        assert publish(connection, night).served == 2
