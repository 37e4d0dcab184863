"""The steps of a night by name, as the command line and the Airflow DAG call them.

Every step reads the files of the step before it and writes its own, so each can run alone, in
another process or on another day. This module turns settings from outside (paths, ISO dates) into
the step's arguments, and its summary into plain JSON values.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pigeon_rec.config import NightlyConfig, load_config
from pigeon_rec.runtime.airflow_step import check_date, run_airflow_step
from pigeon_rec.runtime.files import storage_errors
from pigeon_rec.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from pigeon_rec.warehouse.erasure import Erased

__all__ = ["STEPS", "erase", "night_settings", "run_in_airflow", "run_step"]


_SIDE_BY_SIDE: Final = ("plan-part", "generate")
_UNTIMED: Final = (*_SIDE_BY_SIDE, "run")


def night_settings(config: Path | None, work_dir: Path | None) -> NightlyConfig:
    """Reads the configuration (None: the defaults); `work_dir`, if given, replaces its own."""
    settings = load_config(config)
    return settings if work_dir is None else settings.model_copy(update={"work_dir": work_dir})


def run_step(
    step: str,
    config: NightlyConfig,
    date: dt.date,
    *,
    number: int | None = None,
    progress: Progress = silent,
    future: bool = False,
) -> dict[str, Any]:
    """Runs one step of the night and returns its summary as plain JSON values.

    `generate` draws the shard `number`, or, if that is None, every shard with pictures to draw;
    `plan-part` plans the part `number`, or all that have not been planned yet. A date after
    tomorrow (UTC) is accepted only with `future`.

    Raises:
        ConfigError: The date is in the future.
        PigeonError: The step failed, or another run works in the same folder; the error says
            whether a retry may help.
    """
    if not future:
        check_date(date)
    with storage_errors(config.work_dir.absolute()):
        return _run_step(step, config, date, number, progress)


def _run_step(
    step: str, config: NightlyConfig, date: dt.date, number: int | None, progress: Progress
) -> dict[str, Any]:
    from pigeon_rec.inputs.prepare import prepare_inputs
    from pigeon_rec.nightly.files import shards_to_draw
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.runtime.exchange import fetch
    from pigeon_rec.runtime.leftovers import sweep
    from pigeon_rec.runtime.lock import hold
    from pigeon_rec.runtime.step_times import timed

    if step not in ("check", "run"):  # these two look for changes of the tables themselves
        config = prepare_inputs(config, refresh=False).config
    paths = NightPaths.of(config, date)
    if step == "generate" and number is None:
        fetch(config.exchange, paths.night, [paths.gate, paths.plan])
        shards = shards_to_draw(config, date)
        return {"shards": [_run_step(step, config, date, n, progress) for n in shards]}
    # Parts and shards may be made in parallel; a whole night takes the lock itself.
    alone = hold(paths, step, shared=step in _SIDE_BY_SIDE) if step != "run" else nullcontext()
    # Shards have times of their own, and a run measures its steps.
    with alone, nullcontext() if step in _UNTIMED else timed(paths.seconds, step):
        if step in ("check", "recommend"):  # either may be the first of a night
            sweep(paths.work_dir)
        summary = _plain(STEPS[step](config, date, number, progress))
    if step == "plan":
        summary["shards_to_draw"] = shards_to_draw(config, date)
    return summary


def erase(config: Path | None, work_dir: Path | None, users: Sequence[str]) -> Erased:
    """Erases users from the work directory of a night (`pigeon_rec.warehouse.erasure`).

    Raises:
        WorkDirBusyError: A night runs in the work directory.
        PigeonError: As `erase_users`.
    """
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.runtime.lock import hold
    from pigeon_rec.warehouse.erasure import erase_users
    from pigeon_rec.warehouse.mirror import mirror_of

    settings = night_settings(config, work_dir)
    today = dt.datetime.now(dt.UTC).date()
    with hold(NightPaths.of(settings, today), "forget"):
        return erase_users(
            settings.work_dir,
            users,
            images=settings.warehouse.images,
            exchange=settings.exchange,
            mirror=mirror_of(settings.warehouse),
        )


def run_in_airflow(
    step: str, date: str, config: str, work_dir: str, number: int | None = None
) -> dict[str, Any]:
    """Runs one step inside an Airflow task; see `pigeon_rec.runtime.airflow_step`.

    `date` is an ISO date; an empty `config` or `work_dir` means the default.

    Raises:
        SystemExit: The step raised a `PigeonError`.
    """

    def run(day: dt.date, progress: Progress) -> dict[str, Any]:
        given = (Path(text) if text else None for text in (config, work_dir))
        return run_step(step, night_settings(*given), day, number=number, progress=progress)

    return run_airflow_step(step, date, run)


def _plain(summary: object) -> dict[str, Any]:
    """Turns a step's summary (a dataclass, a dictionary, a path or None) into JSON values."""
    if dataclasses.is_dataclass(summary) and not isinstance(summary, type):
        summary = dataclasses.asdict(summary)
    elif not isinstance(summary, dict):
        summary = {} if summary is None else {"path": summary}
    plain: dict[str, Any] = json.loads(json.dumps(summary, default=str))
    return plain


# Each step imports its own module when called: publishing needs no torch, drawing no recbole.


def _check(config: NightlyConfig, date: dt.date, _: int | None, progress: Progress) -> object:
    from pigeon_rec.nightly.run import check_night

    return check_night(config, date, progress)


def _recommend(config: NightlyConfig, date: dt.date, _: int | None, progress: Progress) -> object:
    from pigeon_rec.nightly.plan import recommend

    return recommend(config, date, progress=progress)


def _split(config: NightlyConfig, date: dt.date, _: int | None, progress: Progress) -> object:
    from pigeon_rec.nightly.plan import split_users

    return {"parts": split_users(config, date, progress=progress)}


def _plan_part(
    config: NightlyConfig, date: dt.date, part: int | None, progress: Progress
) -> object:
    from pigeon_rec.nightly.plan import plan_parts

    planned = plan_parts(config, date, part, progress=progress)
    return {
        "parts": [summary.part for summary in planned],
        "pairs": sum(summary.pairs for summary in planned),
    }


def _plan(config: NightlyConfig, date: dt.date, _: int | None, progress: Progress) -> object:
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.nightly.plan import plan_night
    from pigeon_rec.runtime.exchange import send

    summary, paths = plan_night(config, date, progress=progress), NightPaths.of(config, date)
    send(config.exchange, paths.night, [paths.gate, paths.plan])
    return summary


def _generate(
    config: NightlyConfig, date: dt.date, shard: int | None, progress: Progress
) -> object:
    from pigeon_rec.nightly.generate import generate_shard
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.runtime.exchange import fetch, send

    number, paths = shard or 0, NightPaths.of(config, date)
    files = paths.shard_files(number)
    # Another machine may have drawn the shard already.
    fetch(config.exchange, paths.night, [paths.gate, paths.plan, *files])
    summary = generate_shard(config, date, number, progress=progress)
    send(config.exchange, paths.night, files)
    return summary


def _publish(config: NightlyConfig, date: dt.date, _: int | None, __: Progress) -> object:
    from pigeon_rec.nightly.files import shards_to_draw
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.nightly.publish import publish_night
    from pigeon_rec.runtime.exchange import fetch

    paths = NightPaths.of(config, date)
    for shard in shards_to_draw(config, date):
        fetch(config.exchange, paths.night, paths.shard_files(shard))
    return publish_night(config, date)


def _promote(config: NightlyConfig, _: dt.date, __: int | None, ___: Progress) -> object:
    from pigeon_rec.nightly.publish import promote_night

    return promote_night(config)


def _report(config: NightlyConfig, date: dt.date, _: int | None, __: Progress) -> object:
    from pigeon_rec.nightly.report import report_night

    return report_night(config, date)


def _run(config: NightlyConfig, date: dt.date, _: int | None, progress: Progress) -> object:
    from pigeon_rec.nightly.run import run_night

    # `run_step` has checked the date.
    return run_night(config, date, progress=progress, future=True).flat()


STEPS: Final[Mapping[str, Callable[[NightlyConfig, dt.date, int | None, Progress], object]]] = {
    "check": _check,
    "recommend": _recommend,
    "split": _split,
    "plan-part": _plan_part,
    "plan": _plan,
    "generate": _generate,
    "publish": _publish,
    "promote": _promote,
    "report": _report,
    "run": _run,
}
"""Every step by name, in the order of a night; `run` is all of them in one process."""
