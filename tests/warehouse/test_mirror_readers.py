"""Readers of a mirror see whole nights only, while nights are mirrored and the writer is killed.

Every mirroring runs in a process of its own, forked from a prepared interpreter, and most of them
are killed at moments spread over the whole of it. The readers are other processes with plain
clients that know the address and nothing else.
"""

from __future__ import annotations

import datetime as dt
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon_rec.runtime.work_dir import serving_file, warehouse_file
from pigeon_rec.warehouse import open_warehouse, promote, publish
from pigeon_rec.warehouse._mirror_place import MirrorPlace
from pigeon_rec.warehouse.mirror import Mirror, mirror_served
from tests.warehouse.nights import FIRST, night_of

ROOT = Path(__file__).resolve().parents[2]
NIGHTS, KILLS = 8, 40

WRITES = """
import datetime as dt, os, signal, sys, time
from pathlib import Path
from pigeon_rec.warehouse.mirror import Mirror, mirror_served

print("ready", flush=True)
for line in sys.stdin:
    warehouse, link, address, grace, seconds = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if not child:
        mirror = Mirror(address, 4, dt.timedelta(seconds=float(grace)))
        mirror_served(Path(warehouse), Path(link), mirror)
        os._exit(0)
    if seconds:
        # Until it is waited for, the number is the child's, even if the child has ended.
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1], flush=True)
"""

# Night number n serves n users one picture each, so half a night or a mixture has another count.
DUCKDB = """
import sys, duckdb
from pathlib import Path
address, stop, nights = sys.argv[1], Path(sys.argv[2]), set()
print("reading", flush=True)
while not stop.exists():
    with duckdb.connect() as client:
        client.execute(f"SET VARIABLE night = (SELECT '{address}/' || path "
                       f"FROM read_json('{address}/current.json'))")
        rows = client.execute("SELECT user_id, run_id, octet_length(image) > 0, date::VARCHAR "
            "FROM read_parquet(getvariable('night') || '/served_assets/*/*.parquet', "
            "hive_partitioning = true)").fetchall()
    night = {(run, date) for _, run, _, date in rows}
    assert len(night) == 1, night
    run, date = night.pop()
    assert run == date and len(rows) == int(run[-2:]), (run, date, len(rows))
    assert all(has for _, _, has, _ in rows)
    nights.add(run)
print(len(nights), flush=True)
"""
POLARS = """
import json, sys, time
import polars as pl
from pathlib import Path
address, stop, nights = sys.argv[1], Path(sys.argv[2]), set()
folder = Path(address.removeprefix("file://"))
print("reading", flush=True)
while not stop.exists():
    table = json.loads((folder / "current.json").read_text("utf-8"))["tables"]["served_assets"]
    time.sleep(0.02)  # a slow reader: nights may be replaced between these two lines
    rows = pl.read_parquet([folder / name for name in table["files"]], hive_partitioning=True)
    [run] = rows["run_id"].unique()
    assert rows.height == table["rows"] == int(run[-2:]), (run, rows.height)
    nights.add(run)
print(len(nights), flush=True)
"""


class Writer:
    """A prepared interpreter that mirrors in a child, on demand."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._line() == "ready"

    def mirror(
        self, work_dir: Path, address: str, grace: float, kill_after: float | None = None
    ) -> bool:
        """Mirrors to the end, or kills it; returns whether it was killed."""
        assert self._process.stdin is not None
        files = (str(warehouse_file(work_dir)), str(serving_file(work_dir)))
        seconds = "" if kill_after is None else f"{kill_after:.4f}"
        self._process.stdin.write("\t".join([*files, address, str(grace), seconds]) + "\n")
        self._process.stdin.flush()
        status = self._line()
        assert status == "0" or (seconds and status == str(int(signal.SIGKILL))), status
        return status != "0"

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def writer() -> Iterator[Writer]:
    server = Writer()
    yield server
    server.close()


def promote_day(work_dir: Path, day: int) -> None:
    pairs = [(f"user-{number}", "noto/apple") for number in range(day)]
    with open_warehouse(warehouse_file(work_dir)) as connection:
        publish(connection, night_of(pairs, date=FIRST.replace(day=day)))
    promote(warehouse_file(work_dir), serving_file(work_dir))


@pytest.mark.slow
def test_readers_see_whole_nights_while_mirrorings_are_killed(
    tmp_path: Path, writer: Writer
) -> None:
    address, stop, grace = (tmp_path / "mirror").as_uri(), tmp_path / "stop", 600.0
    promote_day(tmp_path, 1)
    started = time.monotonic()
    assert not writer.mirror(tmp_path, address, grace)
    duration = time.monotonic() - started
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", program, address, str(stop)], stdout=subprocess.PIPE, text=True
        )
        for program in (DUCKDB, POLARS)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"

    moments, killed, place = random.Random(20260601), 0, MirrorPlace(address)
    per_night = KILLS // NIGHTS
    for day in range(2, NIGHTS + 2):
        promote_day(tmp_path, day)
        for number in range(per_night):
            moment = (number + moments.random()) / per_night * duration
            killed += writer.mirror(tmp_path, address, grace, kill_after=moment)
            pointer = place.pointer()
            assert pointer is not None
            assert pointer.night in {f"2026-06-{d:02d}" for d in (day - 1, day)}
            assert place.holds(pointer.files())
        assert not writer.mirror(tmp_path, address, grace)
        pointer = place.pointer()
        assert pointer is not None
        assert pointer.night == f"2026-06-{day:02d}"
        # Nothing that a killed call left is still there.
        assert place.remove_all_but(pointer.paths()) == 0
    stop.touch()
    seen = [int(reader.communicate(timeout=60)[0]) for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0]
    assert min(seen) > 1
    # Some may get to their end before their moment comes; most must not.
    assert killed > KILLS / 2


def test_a_reader_that_began_before_reads_its_night_to_the_end(tmp_path: Path) -> None:
    place = MirrorPlace((tmp_path / "mirror").as_uri())
    mirror = Mirror(place.address, 4, dt.timedelta(hours=1))
    files = warehouse_file(tmp_path), serving_file(tmp_path)
    promote_day(tmp_path, 3)
    mirror_served(*files, mirror)
    before = place.pointer()
    assert before is not None
    promote_day(tmp_path, 4)
    mirror_served(*files, mirror)
    assert place.holds(before.files())
    mirror_served(*files, Mirror(place.address, 4, dt.timedelta()))
    assert not place.holds(before.files())
