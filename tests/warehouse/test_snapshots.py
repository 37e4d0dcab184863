from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import duckdb
import pytest

from pigeon_rec.errors import WarehouseError
from pigeon_rec.runtime.leftovers import sweep_spills
from pigeon_rec.warehouse import (
    WarehouseBusyError,
    connect,
    content_digest,
    open_warehouse,
    promote,
    publish,
    served_assets,
    snapshots,
)
from tests.warehouse.nights import FIRST, SECOND, Pair, contents, file_hash, night_of

ANN, BEN, CAT = ("ann", "noto/apple"), ("ben", "noto/apple"), ("cat", "noto/pear")

DAMAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "short by a page": lambda data: data[:-4096],
    "a lost block": lambda data: data[:12288] + bytes(len(data) - 12288),
    "nothing written": lambda _: b"",
}

READS = """
import sys
from pathlib import Path
from pigeon_rec.warehouse import served_assets
link, nights = Path(sys.argv[1]), set()
print("reading", flush=True)
while not link.with_name("stop").exists():
    rows = served_assets(link).select("user_id", "run_id").rows()
    night = {run for _, run in rows}
    assert len(night) == 1, night
    assert len(rows) == int(night.copy().pop()[-2:]), rows
    nights |= night
print(len(nights), flush=True)
"""


def publish_one(writer_path: Path, pairs: list[Pair], *, second: bool = False) -> None:
    with open_warehouse(writer_path) as connection:
        publish(connection, night_of(pairs, date=SECOND if second else FIRST))


def users(path: Path) -> list[str]:
    return served_assets(path)["user_id"].to_list()


def test_promoting_links_to_a_checked_copy(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN, BEN])
    snapshot = promote(writer_path, serving)
    assert serving.is_symlink()
    assert serving.readlink() == Path("snapshots") / snapshot.name
    assert serving.resolve() == snapshot.resolve()
    assert snapshot.name.startswith("2026-06-01-")
    assert users(serving) == ["ann", "ben"]
    with open_warehouse(writer_path) as writer, connect(serving, read_only=True) as reader:
        assert contents(reader) == contents(writer)
        assert content_digest(reader) == content_digest(writer)
    assert [path.name for path in snapshot.parent.iterdir()] == [snapshot.name]
    assert sorted(p.name for p in serving.parent.glob("[!.]*")) == [
        "pigeon.duckdb",
        "serving.duckdb",
        "snapshots",
    ]


def test_a_plain_client_reads_the_link(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    promote(writer_path, serving)
    with duckdb.connect(str(serving), read_only=True) as client:
        assert client.execute("SELECT user_id FROM served_assets").fetchall() == [("ann",)]


def test_the_served_copy_cannot_be_written(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    promote(writer_path, serving)
    with (
        connect(serving, read_only=True) as reader,
        pytest.raises(duckdb.InvalidInputException, match="read-only"),
    ):
        reader.execute("DELETE FROM runs")


def test_promoting_the_same_content_changes_nothing(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    snapshot = promote(writer_path, serving)
    before = (snapshot.stat(), file_hash(snapshot), serving.lstat())
    publish_one(writer_path, [ANN])
    assert promote(writer_path, serving) == snapshot
    after = (snapshot.stat(), file_hash(snapshot), serving.lstat())
    assert [os.fspath(p) for p in snapshot.parent.iterdir()] == [os.fspath(snapshot)]
    assert after[1] == before[1]
    for old, new in ((before[0], after[0]), (before[2], after[2])):
        assert (new.st_ino, new.st_mtime_ns) == (old.st_ino, old.st_mtime_ns)


def test_a_reader_keeps_its_night_while_the_next_is_promoted(
    writer_path: Path, serving: Path
) -> None:
    publish_one(writer_path, [ANN])
    first = promote(writer_path, serving)
    with duckdb.connect(str(serving), read_only=True) as reader:
        publish_one(writer_path, [BEN, CAT], second=True)
        second = promote(writer_path, serving, keep=1)
        assert second != first
        assert not first.exists()
        assert reader.execute("SELECT user_id FROM served_assets").fetchall() == [("ann",)]
        assert users(serving) == ["ben", "cat"]
    assert users(serving) == ["ben", "cat"]


def test_a_serving_reader_does_not_hold_up_the_writer(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    promote(writer_path, serving)
    with connect(serving, read_only=True) as reader:
        publish_one(writer_path, [BEN], second=True)
        assert reader.execute("SELECT count(*) FROM runs").fetchall() == [(1,)]


@pytest.mark.slow
def test_readers_in_other_processes_never_see_half_a_night(
    writer_path: Path, serving: Path
) -> None:
    def promote_day(day: int) -> None:
        pairs = [(f"user-{number}", "noto/apple") for number in range(day)]
        with open_warehouse(writer_path) as connection:
            publish(connection, night_of(pairs, date=FIRST.replace(day=day)))
        promote(writer_path, serving)

    promote_day(1)
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READS, str(serving)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
    for day in range(2, 10):
        promote_day(day)
    serving.with_name("stop").touch()
    seen = [int(reader.communicate(timeout=60)[0]) for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0]
    assert max(seen) > 1


def test_the_newest_snapshots_are_kept(writer_path: Path, serving: Path) -> None:
    made = []
    for number in range(5):
        publish_one(writer_path, [(f"user-{number}", "noto/apple")])
        made.append(promote(writer_path, serving, keep=2))
    left = sorted(path.name for path in serving.parent.joinpath("snapshots").iterdir())
    assert left == sorted(path.name for path in made[-2:])


def test_the_served_snapshot_is_never_removed(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN, BEN])  # what was ever generated is part of the content
    publish_one(writer_path, [ANN])
    first = promote(writer_path, serving)
    publish_one(writer_path, [BEN])
    second = promote(writer_path, serving)
    publish_one(writer_path, [ANN])
    # The first content again: its file is the older of the two, and now the served one.
    assert promote(writer_path, serving, keep=1) == first
    assert first.exists()
    assert not second.exists()
    assert users(serving) == ["ann"]


def test_a_damaged_snapshot_is_written_again(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    snapshot = promote(writer_path, serving)
    snapshot.chmod(0o644)
    snapshot.write_bytes(snapshot.read_bytes()[:5000])
    assert promote(writer_path, serving) == snapshot
    assert users(serving) == ["ann"]


def test_leftovers_of_a_killed_promotion_are_removed(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    folder = serving.parent / "snapshots"
    folder.mkdir()
    (folder / "2026-06-01-0123.tmp").write_bytes(b"half")
    serving.with_name(".serving.duckdb.tmp").symlink_to("nowhere")
    snapshot = promote(writer_path, serving)
    assert list(folder.iterdir()) == [snapshot]
    assert not serving.with_name(".serving.duckdb.tmp").is_symlink()


SPILLS = """
import os, signal, sys
from pathlib import Path
from pigeon_rec.warehouse import connect
with connect(Path(sys.argv[1])) as connection:
    connection.execute("SET memory_limit = '60MB'; SET threads = 1")
    rows = "SELECT hash(range)::VARCHAR || repeat('x', 50) AS b FROM range(2000000)"
    connection.execute(f"SELECT * FROM ({rows}) ORDER BY b")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_spilled_is_private_and_swept(
    writer_path: Path, serving: Path
) -> None:
    publish_one(writer_path, [ANN])
    subprocess.run([sys.executable, "-c", SPILLS, str(writer_path)], check=False, timeout=120)
    spilled, *_ = writer_path.parent.rglob("duckdb_temp_*")
    [private] = writer_path.parent.glob(".spill-*")
    assert spilled.is_relative_to(private)
    assert private.stat().st_mode & 0o777 == 0o700
    promote(writer_path, serving)
    assert sweep_spills(writer_path.parent) > 0
    assert list(private.iterdir()) == []
    assert users(serving) == ["ann"]


def test_a_folder_that_a_reader_spills_into_stays_and_does_not_stop_a_promotion(
    writer_path: Path, serving: Path
) -> None:
    publish_one(writer_path, [ANN])
    spill = promote(writer_path, serving).with_suffix(".duckdb.tmp")
    spill.mkdir()
    (spill / f"duckdb_temp_{os.getpid()}_0_owner").write_bytes(b"")
    publish_one(writer_path, [BEN], second=True)
    promote(writer_path, serving)
    assert users(serving) == ["ben"]
    assert sweep_spills(writer_path.parent) == 0
    assert len(list(spill.iterdir())) == 1


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_copy_that_differs_is_never_served(
    writer_path: Path, serving: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    publish_one(writer_path, [ANN])
    first = promote(writer_path, serving)
    publish_one(writer_path, [BEN], second=True)

    def bad_disk(source: BinaryIO, target: BinaryIO, _: int) -> None:
        target.write(DAMAGE[damage](source.read()))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", bad_disk)
        with pytest.raises(WarehouseBusyError, match="differs from it"):
            promote(writer_path, serving)
    assert serving.resolve() == first.resolve()
    assert users(serving) == ["ann"]
    assert list(first.parent.iterdir()) == [first]
    promote(writer_path, serving)
    assert users(serving) == ["ben"]


def test_the_lock_holds_while_the_copy_is_made(
    writer_path: Path, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_one(writer_path, [ANN])
    program = f"import duckdb; duckdb.connect({str(writer_path)!r})"
    attempts: list[str] = []
    real = snapshots._point

    def tries(link: Path, snapshot: Path) -> None:
        rival = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        attempts.append(rival.stderr)
        real(link, snapshot)

    monkeypatch.setattr(snapshots, "_point", tries)
    promote(writer_path, serving)
    assert len(attempts) == 1
    assert "Could not set lock on file" in attempts[0]


def test_a_night_that_is_not_committed_is_not_promoted(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    with open_warehouse(writer_path) as writer:
        writer.begin()
        writer.execute("DELETE FROM runs")
        snapshot = promote(writer_path, serving)
        assert users(serving) == ["ann"]
        writer.rollback()
    assert promote(writer_path, serving) == snapshot


def test_a_writer_in_another_process_raises(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    program = (
        f"import duckdb; held = duckdb.connect({str(writer_path)!r}); print('held', flush=True)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{program}; import time; time.sleep(60)"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WarehouseBusyError, match=f"locked by process {holder.pid}"):
            promote(writer_path, serving)
    finally:
        holder.kill()
        holder.wait()
    assert not serving.is_symlink()


def test_there_must_be_something_to_promote(writer_path: Path, serving: Path) -> None:
    with pytest.raises(WarehouseError, match="no warehouse to promote") as caught:
        promote(writer_path, serving)
    assert str(writer_path) in str(caught.value)
    open_warehouse(writer_path).close()
    with pytest.raises(WarehouseError, match="holds no night"):
        promote(writer_path, serving)
    assert not serving.is_symlink()


def test_a_file_at_the_path_of_the_link_is_kept(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    serving.write_text("mine")
    with pytest.raises(WarehouseError, match="the link to the served snapshot is a file"):
        promote(writer_path, serving)
    assert serving.read_text() == "mine"


def test_at_least_one_snapshot_is_kept(writer_path: Path, serving: Path) -> None:
    with pytest.raises(WarehouseError, match="received 0"):
        promote(writer_path, serving, keep=0)


def test_the_warehouse_can_be_moved_with_its_snapshots(writer_path: Path, serving: Path) -> None:
    publish_one(writer_path, [ANN])
    promote(writer_path, serving)
    moved = writer_path.parent.rename(writer_path.parent.with_name("elsewhere"))
    assert users(moved / "serving.duckdb") == ["ann"]


def test_a_damaged_picture_changes_the_digest(writer_path: Path) -> None:
    publish_one(writer_path, [ANN])
    with open_warehouse(writer_path) as connection:
        before = content_digest(connection)
        connection.execute("UPDATE runs SET published_at = now()")
        assert content_digest(connection) == before
        connection.execute("UPDATE assets SET image = 'x'::BLOB")
        assert content_digest(connection) != before
