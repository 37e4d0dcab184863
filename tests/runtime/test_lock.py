"""One run at a time, with real processes."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.steps import run_step
from pigeon_rec.runtime.airflow_step import TEMPORARY_FAILURE
from pigeon_rec.runtime.lock import WorkDirBusyError, hold

NIGHT = dt.date(2026, 6, 1)

HOLDER = """
import datetime, sys, time
from pathlib import Path
from pigeon_rec.runtime.lock import hold
from pigeon_rec.nightly.paths import NightPaths

folder, step = sys.argv[1:]
night = NightPaths(Path(folder), datetime.date(2026, 6, 1))
with hold(night, step, shared=step == "generate"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def other_process(work_dir: Path, step: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of the folder until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(work_dir), step], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def paths(tmp_path: Path) -> NightPaths:
    return NightPaths(tmp_path / "var", NIGHT)


def test_the_second_run_stops_and_names_the_first(paths: NightPaths) -> None:
    with other_process(paths.work_dir, "run") as holder:
        with pytest.raises(WorkDirBusyError) as caught, hold(paths, "plan"):
            pytest.fail("two runs at once")
        message = str(caught.value)
        assert (
            f"`plan` of 2026-06-01 cannot start: the work directory is held by process {holder.pid}"
            in message
        )
        assert "`run` of 2026-06-01 since 20" in message
        assert caught.value.retryable


def test_the_lock_dies_with_its_process(paths: NightPaths) -> None:
    with other_process(paths.work_dir, "publish") as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with hold(paths, "run"):
            pass


def test_shards_are_drawn_side_by_side_and_nothing_else_meanwhile(paths: NightPaths) -> None:
    with other_process(paths.work_dir, "generate"):
        with hold(paths, "generate", shared=True):
            pass
        with pytest.raises(WorkDirBusyError, match="held by process"), hold(paths, "publish"):
            pytest.fail("published while shards were drawn")


def test_the_message_names_a_process_that_still_runs(paths: NightPaths) -> None:
    with other_process(paths.work_dir, "generate") as first:
        with other_process(paths.work_dir, "generate") as second:
            with pytest.raises(WorkDirBusyError) as caught, hold(paths, "publish"):
                pytest.fail("published while shards were drawn")
            assert f"by process {second.pid}, which" in str(caught.value)
            assert "(and 1 more)" in str(caught.value)
        # The one that signed last has ended, and the first still holds the lock.
        with pytest.raises(WorkDirBusyError) as caught, hold(paths, "publish"):
            pytest.fail("published while a shard was drawn")
        assert f"by process {first.pid}, which has been running `generate`" in str(caught.value)
        assert "more)" not in str(caught.value)


def test_a_process_of_another_machine_is_named_with_it(paths: NightPaths) -> None:
    with other_process(paths.work_dir, "run"):
        note = json.loads(paths.lock.read_text("utf-8"))
        note |= {"process": 99_999_999, "machine": "drawing-2"}
        paths.lock.write_text(json.dumps(note) + "\n", "utf-8")
        expected = pytest.raises(WorkDirBusyError, match="by process 99999999 on drawing-2, which")
        with expected, hold(paths, "plan"):
            pytest.fail("two runs at once")


@pytest.mark.parametrize("step", ["plan", "run", "generate"])
def test_every_step_stops_before_it_changes_anything(paths: NightPaths, step: str) -> None:
    config = NightlyConfig(work_dir=paths.work_dir)
    with other_process(paths.work_dir, "run"):
        with pytest.raises(WorkDirBusyError):
            run_step(step, config, NIGHT, number=0)
        assert [path.name for path in paths.work_dir.iterdir()] == ["night.lock"]


def test_two_real_runs_of_the_command(paths: NightPaths) -> None:
    command = [sys.executable, "-m", "pigeon_rec.cli", "nightly", "publish"]
    with other_process(paths.work_dir, "run"):
        second = subprocess.run(
            [*command, "--date", "2026-06-01", "--work-dir", str(paths.work_dir)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert second.returncode == WorkDirBusyError.exit_code
    assert "the work directory is held by process" in second.stderr.replace("\n", " ")


def test_airflow_tries_again_later(paths: NightPaths) -> None:
    from pigeon_rec.nightly.steps import run_in_airflow

    with other_process(paths.work_dir, "run"), pytest.raises(SystemExit) as ended:
        run_in_airflow("publish", "2026-06-01", "", str(paths.work_dir))
    assert ended.value.code == TEMPORARY_FAILURE


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    paths = NightPaths(tmp_path / "file" / "var", NIGHT)
    with pytest.raises(ConfigError, match="cannot write in the work directory"), hold(paths, "run"):
        pytest.fail("no lock was held")


def test_a_damaged_lock_file_still_locks(paths: NightPaths) -> None:
    with other_process(paths.work_dir, "run"):
        paths.lock.write_text("half a no")
        with pytest.raises(WorkDirBusyError, match="held by another process"), hold(paths, "run"):
            pytest.fail("two runs at once")
