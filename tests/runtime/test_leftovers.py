"""What killed processes left behind is removed, and nothing of a process that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pigeon_rec.runtime.leftovers import is_running, spill_folder, sweep

ALIVE = os.getpid()


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_processes_are_told_apart(dead: int) -> None:
    assert is_running(ALIVE)
    assert is_running(1)  # of another user, or our own
    assert not is_running(dead)
    assert not is_running(10**30)


def leftovers(work_dir: Path, process: int) -> list[Path]:
    """What a night of this process leaves when it is killed."""
    return [
        work_dir / "recbole" / f"run-{process}-a1b2c3d4" / "interactions" / "interactions.inter",
        work_dir / "warehouse" / f".pigeon.{process}.tmp.duckdb",
        work_dir / "inputs" / f".items.{process}.tmp.parquet",
        work_dir / "cache" / f".embeddings.{process}.tmp.parquet",
        work_dir / "runs" / "2026-06-01" / f".plan.{process}.tmp.parquet",
        work_dir / "runs" / "2026-06-01" / "shards" / f".shard-0000.{process}.tmp.json",
        work_dir / "warehouse" / "pigeon.duckdb.tmp" / f"duckdb_temp_{process}_0_owner",
        work_dir / "warehouse" / ".spill-1" / "pigeon.duckdb" / f"duckdb_temp_{process}_1_b.tmp",
        work_dir / "warehouse" / "snapshots" / "x.duckdb.tmp" / f"duckdb_temp_{process}_0_owner",
    ]


def put(files: list[Path]) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"rows")


def test_leftovers_of_the_dead_are_removed_and_of_the_living_kept(
    tmp_path: Path, dead: int
) -> None:
    gone, kept = leftovers(tmp_path, dead), leftovers(tmp_path, ALIVE)
    staged = tmp_path / "runs" / "2026-06-01" / "staged.new" / "night.json"
    old_sandbox = tmp_path / "recbole" / "run-x1y2z3w4" / "interactions.inter"
    ours = [
        tmp_path / "runs" / "2026-06-01" / "plan.parquet",
        tmp_path / "warehouse" / "pigeon.duckdb",
        tmp_path / "recbole" / "run-notes.txt",
        tmp_path / "runs" / ".hidden",
    ]
    put([*gone, *kept, staged, old_sandbox, *ours])
    assert sweep(tmp_path) == len(gone) + 2
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*kept, *ours}
    assert not gone[0].parents[1].exists()
    assert sweep(tmp_path) == 0


def test_emptied_folders_of_spills_go_too(tmp_path: Path, dead: int) -> None:
    put(leftovers(tmp_path, dead)[6:])
    sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*.duckdb*")] == []


def test_a_work_directory_without_anything_is_no_error(tmp_path: Path) -> None:
    assert sweep(tmp_path / "var") == 0


def test_links_are_removed_and_not_followed(tmp_path: Path, dead: int) -> None:
    treasure = tmp_path / "elsewhere"
    put([treasure / "file"])
    (tmp_path / "var" / "recbole").mkdir(parents=True)
    (tmp_path / "var" / "recbole" / f"run-{dead}-a1b2c3d4").symlink_to(treasure)
    assert sweep(tmp_path / "var") == 1
    assert (treasure / "file").is_file()


def test_what_is_spilled_is_for_the_owner_only(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    folders = {
        spill_folder(tmp_path / "pigeon.duckdb").parent,
        spill_folder(tmp_path / "snapshots" / "2026-06-01-ab.duckdb").parent,
    }
    [folder] = folders
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent == tmp_path
