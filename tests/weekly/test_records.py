"""What makes a step safe to run again, over real files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pigeon_rec.errors import TrainingError
from pigeon_rec.runtime.lock import WorkDirBusyError, hold
from pigeon_rec.weekly.paths import AlignmentPaths
from pigeon_rec.weekly.records import StepRecord, finished, once, recorded

SUNDAY = dt.date(2026, 6, 7)


@pytest.fixture
def paths(tmp_path: Path) -> AlignmentPaths:
    return AlignmentPaths(tmp_path / "var", SUNDAY)


class Work:
    """A step that counts how often it is really done, and can be killed in the middle."""

    def __init__(self, paths: AlignmentPaths) -> None:
        self.paths = paths
        self.folder = paths.training / "reconstruct"
        self.output = self.folder / "model.safetensors"
        self.done = 0
        self.killed = False
        self.found_checkpoint = False

    def run(self, **inputs: object) -> StepRecord:
        return once(
            self.paths,
            "reconstruct",
            inputs,
            self._work,
            outputs=[self.output],
            scratch=[self.folder],
        )

    def _work(self) -> Mapping[str, Any]:
        checkpoint = self.folder / "checkpoint"
        self.found_checkpoint = checkpoint.is_file()
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint.touch()
        if self.killed:
            raise KeyboardInterrupt
        self.done += 1
        self.output.write_bytes(b"weights")
        return {"loss": 1.5}


def test_a_finished_step_is_kept(paths: AlignmentPaths) -> None:
    work = Work(paths)
    first, second = work.run(seed=1), work.run(seed=1)
    assert work.done == 1
    assert (first.kept, second.kept) == (False, True)
    assert first.summary() == {"kept": False, "seconds": first.seconds, "loss": 1.5}
    assert second == first.model_copy(update={"kept": True})
    assert finished(paths, "reconstruct") == first


def test_other_inputs_do_the_step_again_from_the_start(paths: AlignmentPaths) -> None:
    work = Work(paths)
    work.run(seed=1)
    work.run(seed=2)
    assert (work.done, work.found_checkpoint) == (2, False)


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_damaged_outputs_do_the_step_again(paths: AlignmentPaths, damage: str) -> None:
    work = Work(paths)
    work.run(seed=1)
    if damage == "gone":
        work.output.unlink()
    else:
        work.output.write_bytes(b"other")
    with pytest.raises(TrainingError, match="gone or were changed"):
        finished(paths, "reconstruct")
    work.run(seed=1)
    assert work.done == 2
    assert finished(paths, "reconstruct").facts == {"loss": 1.5}


def test_a_killed_step_goes_on_from_its_own_half_done_work_only(paths: AlignmentPaths) -> None:
    work = Work(paths)
    work.killed = True
    with pytest.raises(KeyboardInterrupt):
        work.run(seed=1)
    begun = recorded(paths, "reconstruct")
    assert begun is not None
    assert begun.finished_at is None
    with pytest.raises(TrainingError, match=r"has not been done.*pigeon-rec align reconstruct"):
        finished(paths, "reconstruct")
    work.killed = False
    work.run(seed=1)
    assert work.found_checkpoint
    work.killed = True
    with pytest.raises(KeyboardInterrupt):
        work.run(seed=2)
    assert not work.found_checkpoint


def test_two_processes_never_do_one_step_at_the_same_time(paths: AlignmentPaths) -> None:
    work = Work(paths)
    with hold(paths, "pairs"), pytest.raises(WorkDirBusyError, match=r"held by .*`pairs`") as busy:
        work.run(seed=1)
    assert busy.value.retryable
    assert work.done == 0
    assert not work.run(seed=1).kept


def test_a_torn_record_counts_as_none(paths: AlignmentPaths) -> None:
    work = Work(paths)
    work.run(seed=1)
    file = paths.record("reconstruct")
    file.write_text(file.read_text(encoding="utf-8")[:40], encoding="utf-8")
    assert recorded(paths, "reconstruct") is None
    assert not work.run(seed=1).kept


def test_records_hold_no_absolute_path_and_move_with_the_folder(
    paths: AlignmentPaths, tmp_path: Path
) -> None:
    work = Work(paths)
    record = work.run(seed=1)
    assert list(record.outputs) == ["alignments/2026-06-07/training/reconstruct/model.safetensors"]
    assert str(tmp_path) not in paths.record("reconstruct").read_text(encoding="utf-8")
    moved = AlignmentPaths(paths.work_dir.rename(tmp_path / "elsewhere"), SUNDAY)
    assert finished(moved, "reconstruct").made_from == record.made_from
