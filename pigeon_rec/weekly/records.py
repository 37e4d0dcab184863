"""Records of steps, which make a step safe to run again.

A finished step whose inputs and files are as recorded is kept. A killed step continues from its own
unfinished work; unfinished work of other inputs is removed first.
"""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pigeon_rec.errors import TrainingError
from pigeon_rec.runtime.digests import digest, file_sha256
from pigeon_rec.runtime.files import write_json
from pigeon_rec.runtime.lock import hold
from pigeon_rec.weekly.paths import AlignmentPaths

__all__ = ["StepRecord", "finished", "once", "recorded"]


class StepRecord(BaseModel):
    """One step of one alignment, stored as `steps/<step>.json`.

    Attributes:
        made_from: Digest of `inputs`.
        inputs: Everything that decides the result, as JSON values.
        facts: Results, as JSON values.
        outputs: Path below the work directory -> SHA-256, of every file the step wrote.
        seconds: Duration of the last run, in seconds.
        finished_at: End of the step in UTC; None until it has finished.
        kept: Whether this call found the step finished; not stored.
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
        """Returns the summary for the command line and Airflow's log."""
        return {"kept": self.kept, "seconds": self.seconds, **self.facts}


def once(
    paths: AlignmentPaths,
    step: str,
    inputs: Mapping[str, Any],
    work: Callable[[], Mapping[str, Any]],
    *,
    outputs: Sequence[Path] = (),
    scratch: Sequence[Path] = (),
) -> StepRecord:
    """Runs the work of a step unless it has finished before, and records it.

    Args:
        paths: The alignment.
        step: Name of the step.
        inputs: Everything that decides the result: settings, and digests of the files read.
        work: Does the work and returns the facts to record.
        outputs: Files or folders that `work` writes.
        scratch: Folders from which `work` continues after a kill; removed if the inputs changed.

    Raises:
        WorkDirBusyError: Another process runs an alignment in this work directory.
    """
    with hold(paths, step):
        made_from = digest(inputs)
        known = recorded(paths, step)
        if known is not None and known.made_from == made_from:
            if _is_complete(paths, known):
                return known.model_copy(update={"kept": True})
        else:
            for folder in scratch:
                shutil.rmtree(folder, ignore_errors=True)
        begun = StepRecord(step=step, made_from=made_from, inputs=inputs)
        _write(paths, begun)
        started = time.monotonic()
        results = {
            "facts": dict(work()),
            "outputs": _hashes(paths, outputs),
            "seconds": round(time.monotonic() - started, 2),
            "finished_at": dt.datetime.now(dt.UTC),
        }
        done = begun.model_copy(update=results)
        _write(paths, done)
        return done


def finished(paths: AlignmentPaths, step: str) -> StepRecord:
    """Returns the record of a finished step.

    Raises:
        TrainingError: The step has not finished, or its files have changed since.
    """
    record = recorded(paths, step)
    if record is None or record.finished_at is None:
        raise TrainingError(
            f"the step {step!r} of the alignment of {paths.run_id} has not been done",
            location=str(paths.record(step)),
            remedy=f"Run `pigeon-rec align {step}` for this date first",
        )
    if not _is_complete(paths, record):
        raise TrainingError(
            f"files of the step {step!r} are gone or were changed since it finished",
            location=str(paths.record(step)),
            remedy=f"Run `pigeon-rec align {step}` for this date again",
        )
    return record


def recorded(paths: AlignmentPaths, step: str) -> StepRecord | None:
    """Returns the record of a step, finished or not; None if there is none or it is damaged."""
    try:
        return StepRecord.model_validate_json(paths.record(step).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def _write(paths: AlignmentPaths, record: StepRecord) -> None:
    write_json(record.model_dump(mode="json", exclude={"kept"}), paths.record(record.step))


def _is_complete(paths: AlignmentPaths, record: StepRecord) -> bool:
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
