"""Readers in forked children, as in a server that loads the application before it forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pigeon_rec.warehouse import AssetReader, open_warehouse, promote, publish
from tests.warehouse.nights import SECOND, night_of

ANN = ("ann", "noto/apple")

FORKS = """
import os, signal, sys, threading
from pathlib import Path

from pigeon_rec.warehouse import AssetReader

PAIR = ("ann", "noto/apple")
reader, case = AssetReader(Path(sys.argv[1])), sys.argv[2]
signal.alarm(60)  # a call that hangs ends the process

def reads():
    assert reader.get(*PAIR).image
    assert reader.get_many([PAIR] * 300_000).height == 300_000

def in_child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        work()
        sys.exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, status

def child_of_child():
    reads()
    in_child(reads)

def many_threads():
    threads = [threading.Thread(target=reads) for _ in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

def during_calls():
    stop = threading.Event()
    def calls():
        while not stop.is_set():
            reader.get_many([PAIR] * 2_000)
    threads = [threading.Thread(target=calls) for _ in range(2)]
    [thread.start() for thread in threads]
    try:
        # Ends at once: at exit a child would wait for threads that only the parent has.
        for _ in range(5):
            in_child(lambda: (reader.get(*PAIR).image, os._exit(0)))
    finally:
        stop.set()
        [thread.join() for thread in threads]

def with_the_lock_held():
    with reader._lock():
        in_child(reads)

reads()
{
    "used": lambda: in_child(reads),
    "unused": lambda: in_child(lambda: None),
    "closed": lambda: in_child(reader.close),
    "used and closed": lambda: in_child(lambda: (reads(), reader.close())),
    "child of child": lambda: in_child(child_of_child),
    "many threads": lambda: in_child(many_threads),
    "during calls": during_calls,
    "lock held": with_the_lock_held,
}[case]()
reads()
reader.close()
print("done")
"""

CASES = [
    *("used", "unused", "closed", "used and closed"),
    *("child of child", "many threads", "during calls", "lock held"),
]


@pytest.fixture
def served(writer_path: Path, serving: Path) -> Path:
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of([ANN]))
    promote(writer_path, serving)
    return serving


@pytest.mark.parametrize("case", CASES)
def test_a_reader_works_in_a_forked_child(served: Path, case: str) -> None:
    done = subprocess.run(
        # From 3.12 on, Python warns of every fork of a process with threads.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, str(served), case],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if case == "during calls":  # DuckDB lists on stderr what the child ended without freeing
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("removed", ["snapshot", "link", "both"])
def test_removed_files_do_not_disturb_an_open_reader(
    served: Path, writer_path: Path, removed: str
) -> None:
    with AssetReader(served) as reader:
        snapshot = served.resolve()
        if removed != "snapshot":
            served.unlink()
        if removed != "link":
            snapshot.unlink()
        for _ in range(3):
            asset = reader.get(*ANN)
            assert asset is not None
            assert asset.image
            assert reader.get_many([ANN] * 10)["run_id"].unique().to_list() == ["2026-06-01"]
            assert reader.for_user("ann").height == 1
        with open_warehouse(writer_path) as connection:
            publish(connection, night_of([ANN], date=SECOND))
        promote(writer_path, served)
        assert reader.for_user("ann")["run_id"].to_list() == ["2026-06-02"]


def test_a_snapshot_removed_while_it_is_opened_is_no_error(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AssetReader(served) as reader:
        served.unlink()
        served.symlink_to("snapshots/elsewhere.duckdb")
        elsewhere = served.parent / "snapshots" / "elsewhere.duckdb"
        elsewhere.write_bytes(b"")
        found = reader._open

        def removed() -> object:
            elsewhere.unlink(missing_ok=True)
            return found()

        monkeypatch.setattr(reader, "_open", removed)
        asset = reader.get(*ANN)
        assert asset is not None
        assert asset.run_id == "2026-06-01"
