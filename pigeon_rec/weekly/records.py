"""What makes a step safe to run again: a record of what it was made from, and of what it made.

A finished step whose inputs, settings and files are as recorded is kept. A step that was killed
finds its own half-done work and goes on from it; half-done work of other inputs is removed first.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pigeon_rec.errors import TrainingError
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.runtime.files import write_json
from pigeon_rec.runtime.lock import hold
from pigeon_rec.weekly.paths import AlignmentPaths

__all__ = ["StepRecord", "content_hash", "finished", "once", "recorded"]


class StepRecord(BaseModel):
    """One step of one alignment; its JSON form is the file `steps/<step>.json`.

    Attributes:
        step: Its name.
        made_from: Hash of everything that decides its result.
        inputs: The same, readable.
        facts: What came out, as JSON values.
        outputs: SHA-256 of every file it made, by path below the work directory.
        seconds: Time it took, over its last try.
        finished_at: When it ended, in UTC; None while it is not done.
        kept: Whether this call found it done; not part of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    made_from: str
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any] = {}
    outputs: Mapping[str, str] = {}
    seconds: float = 0.0
    finished_at: dt.datetime | None = None
    kept: bool = False

    def summary(self) -> dict[str, Any]:
        """What the command line and Airflow's log tell of the step."""
        return {"kept": self.kept, "seconds": self.seconds, **self.facts}


def content_hash(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def once(
    paths: AlignmentPaths,
    step: str,
    inputs: Mapping[str, Any],
    work: Callable[[], Mapping[str, Any]],
    *,
    outputs: Sequence[Path] = (),
    scratch: Sequence[Path] = (),
) -> StepRecord:
    """Does the work of a step unless it is done already, and records it.

    Args:
        paths: The alignment.
        step: Name of the step.
        inputs: Everything that decides the result: settings, and hashes of what is read.
        work: Does it, and returns the facts to record.
        outputs: Files or folders that `work` leaves.
        scratch: Folders that `work` goes on from after a kill; removed where they belong to other
            inputs.

    Raises:
        WorkDirBusyError: Another process is at work on an alignment of this work directory.
    """
    with hold(paths, step):
        made_from = content_hash(inputs)
        known = recorded(paths, step)
        if known is not None and known.made_from == made_from:
            if _whole(paths, known):
                return known.model_copy(update={"kept": True})
        else:
            for folder in scratch:
                shutil.rmtree(folder, ignore_errors=True)
        begun = StepRecord(step=step, made_from=made_from, inputs=inputs)
        _write(paths, begun)
        return _do(paths, begun, work, outputs)


def _do(
    paths: AlignmentPaths,
    begun: StepRecord,
    work: Callable[[], Mapping[str, Any]],
    outputs: Sequence[Path],
) -> StepRecord:
    started = time.monotonic()
    facts = work()
    done = begun.model_copy(
        update={
            "facts": dict(facts),
            "outputs": _hashes(paths, outputs),
            "seconds": round(time.monotonic() - started, 2),
            "finished_at": dt.datetime.now(dt.UTC),
        }
    )
    _write(paths, done)
    return done


def finished(paths: AlignmentPaths, step: str) -> StepRecord:
    """The record of a step that others build on.

    Raises:
        TrainingError: It has not been done, or its files were changed since.
    """
    record = recorded(paths, step)
    if record is None or record.finished_at is None:
        raise TrainingError(
            f"the step {step!r} of the alignment of {paths.run_id} has not been done",
            location=str(paths.record(step)),
            remedy=f"Run `pigeon-rec align {step}` for this date first",
        )
    if not _whole(paths, record):
        raise TrainingError(
            f"files of the step {step!r} are gone or were changed since it was done",
            location=str(paths.record(step)),
            remedy=f"Run `pigeon-rec align {step}` for this date again",
        )
    return record


def recorded(paths: AlignmentPaths, step: str) -> StepRecord | None:
    """The record of a step, done or not; None where it never began."""
    try:
        return StepRecord.model_validate_json(paths.record(step).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def _write(paths: AlignmentPaths, record: StepRecord) -> None:
    write_json(record.model_dump(mode="json", exclude={"kept"}), paths.record(record.step))


def _whole(paths: AlignmentPaths, record: StepRecord) -> bool:
    if record.finished_at is None:
        return False
    files = {paths.work_dir / name: sha256 for name, sha256 in record.outputs.items()}
    return all(file.is_file() and file_sha256(file) == sha256 for file, sha256 in files.items())


def _hashes(paths: AlignmentPaths, outputs: Sequence[Path]) -> dict[str, str]:
    files = [
        file
        for output in outputs
        for file in ([output] if output.is_file() else sorted(output.rglob("*")))
        if file.is_file()
    ]
    return {file.relative_to(paths.work_dir).as_posix(): file_sha256(file) for file in files}
