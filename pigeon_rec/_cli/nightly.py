"""`pigeon-rec nightly ...`: the steps of a night, one by one or all in a row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from pigeon_rec._cli.options import AsJson, Config, Date, Quiet, WorkDir
from pigeon_rec._cli.output import print_result

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="The steps of a night: each reads the files of the one before it and writes its own.",
)

Shard = Annotated[
    int | None,
    typer.Option("--shard", min=0, metavar="N", help="Draw only this shard; without it, all."),
]


def generate(
    config: Config = None,
    date: Date = None,
    work_dir: WorkDir = None,
    shard: Shard = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw, score and judge the pictures of one shard or of all."""
    _run("generate", config, date, work_dir, shard, as_json=as_json, quiet=quiet)


def command_for(step: str) -> Callable[..., None]:
    """Makes the command of a step that takes the shared options and no others."""

    def command(
        config: Config = None,
        date: Date = None,
        work_dir: WorkDir = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        _run(step, config, date, work_dir, None, as_json=as_json, quiet=quiet)

    return command


def _run(
    step: str,
    config: Path | None,
    date: str | None,
    work_dir: Path | None,
    shard: int | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.nightly.steps import night_settings, run_step
    from pigeon_rec.runtime.airflow_step import parse_date

    settings = night_settings(config, work_dir)
    night = parse_date(date) if date is not None else _yesterday()
    progress = choose_progress(quiet=quiet)
    summary = run_step(step, settings, night, shard=shard, progress=progress)
    print_result(f"{step} {night}", summary, as_json=as_json, quiet=quiet)


def _yesterday() -> dt.date:
    # The last whole day: the same night that the DAG runs at 02:00 UTC.
    return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)


for _step, _help in {
    "recommend": "Propose recommendations: train the recommender, or check the given file.",
    "plan": "Choose the pairs worth a picture and split them into shards.",
    "generate": None,
    "publish": "Write the night into the warehouse, in one transaction.",
    "promote": "Swap the published tables in for all readers.",
    "report": "Write the night's report and its gallery page.",
    "run": "Run all of these in this process.",
}.items():
    app.command(_step, help=_help)(generate if _step == "generate" else command_for(_step))
