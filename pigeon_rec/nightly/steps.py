"""The steps of a night by name: what the command line and the Airflow DAG both call.

Every step reads the files of the step before it and writes its own, so each can run alone, in
another process or on another day. This module adds nothing to a step; it only turns settings
that come from outside (paths, ISO dates) into the step's arguments, and its summary into plain
values that fit into JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from pigeon_rec.config import NightlyConfig, load_config
from pigeon_rec.runtime.airflow_step import run_airflow_step
from pigeon_rec.runtime.progress import Progress, silent

__all__ = [
    "STEPS",
    "night_settings",
    "run_in_airflow",
    "run_step",
    "serving_file",
    "warehouse_files",
]


def night_settings(config: Path | None, work_dir: Path | None) -> NightlyConfig:
    """Reads the configuration (`None`: the defaults); `work_dir`, if given, replaces its own."""
    settings = load_config(config)
    return settings if work_dir is None else settings.model_copy(update={"work_dir": work_dir})


def serving_file(config: NightlyConfig) -> Path:
    """Returns the link to the DuckDB snapshot that readers use; the same for every night."""
    return warehouse_files(config)[1]


def warehouse_files(config: NightlyConfig) -> tuple[Path, Path]:
    """Returns the warehouse that nights are published into, and the link that readers open."""
    from pigeon_rec.nightly.files import serving_paths

    return serving_paths(config)


def run_step(
    step: str,
    config: NightlyConfig,
    date: dt.date,
    *,
    shard: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Runs one step of the night and returns its summary as plain JSON values.

    Args:
        step: One of `STEPS`.
        config: Settings of the night.
        date: Logical date.
        shard: For `generate`: the shard to draw; `None` draws every shard that has work.
        progress: Told of every finished batch.

    Raises:
        PigeonError: The step cannot run, or another run is at work in the same folder; its class
            says whether a second try may help.
    """
    from pigeon_rec.nightly.files import shards_to_draw

    if step == "generate" and shard is None:
        _fetch_plan(config, date)
        shards = shards_to_draw(config, date)
        drawn = [run_step(step, config, date, shard=s, progress=progress) for s in shards]
        return {"shards": drawn}
    with _alone(step, config, date):
        summary = _plain(STEPS[step](config, date, shard, progress))
    return (
        {**summary, "shards_to_draw": shards_to_draw(config, date)} if step == "plan" else summary
    )


def _alone(step: str, config: NightlyConfig, date: dt.date) -> AbstractContextManager[None]:
    """Keeps other runs out; a whole night does so itself, and shards are drawn side by side."""
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.runtime.lock import hold

    if step == "run":
        return contextlib.nullcontext()
    return hold(NightPaths.of(config, date), step, shared=step == "generate")


def _fetch_plan(config: NightlyConfig, date: dt.date) -> None:
    from pigeon_rec.nightly.exchange import fetch_plan
    from pigeon_rec.nightly.paths import NightPaths

    fetch_plan(config, NightPaths.of(config, date))


def run_in_airflow(
    step: str, date: str, config: str, work_dir: str, shard: int | None = None
) -> dict[str, Any]:
    """Runs one step inside an Airflow task; see `pigeon_rec.runtime.airflow_step`.

    Args:
        step: One of `STEPS`.
        date: Logical date as `YYYY-MM-DD`.
        config: Path of the nightly YAML file; empty for the defaults.
        work_dir: Folder of runs and warehouse; empty for the configuration's own.
        shard: For `generate`: the shard to draw.

    Raises:
        SystemExit: The step raised a `PigeonError`.
    """

    def run(day: dt.date, progress: Progress) -> dict[str, Any]:
        settings = night_settings(_path(config), _path(work_dir))
        return run_step(step, settings, day, shard=shard, progress=progress)

    return run_airflow_step(step, date, run)


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _plain(summary: object) -> dict[str, Any]:
    """Turns a step's summary (a dataclass, a path or nothing) into values JSON knows."""
    if dataclasses.is_dataclass(summary) and not isinstance(summary, type):
        fields = dataclasses.asdict(summary)
        return {key: _plain_value(value) for key, value in fields.items()}
    return {} if summary is None else {"path": str(summary)}


def _plain_value(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain_value(item) for item in value]
    if isinstance(value, Path | dt.date):
        return str(value)
    return value


# Each step imports its own module when called: publishing needs no torch, drawing no recbole.


def _recommend(config: NightlyConfig, date: dt.date, _: int | None, progress: Progress) -> object:
    from pigeon_rec.nightly.plan.recommendations import recommend

    return recommend(config, date, progress=progress)


def _plan(config: NightlyConfig, date: dt.date, _: int | None, progress: Progress) -> object:
    from pigeon_rec.nightly.exchange import send_plan
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.nightly.plan.night import plan_night

    summary = plan_night(config, date, progress=progress)
    send_plan(config, NightPaths.of(config, date))
    return summary


def _generate(
    config: NightlyConfig, date: dt.date, shard: int | None, progress: Progress
) -> object:
    from pigeon_rec.nightly.exchange import fetch_shards, send_shard
    from pigeon_rec.nightly.generate import generate_shard
    from pigeon_rec.nightly.paths import NightPaths

    number, paths = shard or 0, NightPaths.of(config, date)
    _fetch_plan(config, date)
    fetch_shards(config, paths, [number])  # another machine may have drawn it
    summary = generate_shard(config, date, number, progress=progress)
    send_shard(config, paths, number)
    return summary


def _publish(config: NightlyConfig, date: dt.date, _: int | None, __: Progress) -> object:
    from pigeon_rec.nightly.exchange import fetch_shards
    from pigeon_rec.nightly.files import shards_to_draw
    from pigeon_rec.nightly.paths import NightPaths
    from pigeon_rec.nightly.publish.night import publish_night

    if config.exchange != "disk":
        fetch_shards(config, NightPaths.of(config, date), shards_to_draw(config, date))
    return publish_night(config, date)


def _promote(config: NightlyConfig, _: dt.date, __: int | None, ___: Progress) -> object:
    from pigeon_rec.nightly.publish.night import promote_night

    return promote_night(config)


def _report(config: NightlyConfig, date: dt.date, _: int | None, __: Progress) -> object:
    from pigeon_rec.nightly.report.night import report_night

    return report_night(config, date)


def _run(config: NightlyConfig, date: dt.date, _: int | None, progress: Progress) -> object:
    from pigeon_rec.nightly.run import run_night

    return run_night(config, date, progress=progress)


STEPS: Final[Mapping[str, Callable[[NightlyConfig, dt.date, int | None, Progress], object]]] = {
    "recommend": _recommend,
    "plan": _plan,
    "generate": _generate,
    "publish": _publish,
    "promote": _promote,
    "report": _report,
    "run": _run,
}
"""Every step by name, in the order of a night; `run` is all of them in one process."""
