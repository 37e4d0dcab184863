"""`pigeon-rec nightly ...`: the steps of a night, one by one or all in order."""

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
    help="Run a night, or one step of it. A step reads the files of the steps before it.",
)

Shard = Annotated[
    int | None,
    typer.Option("--shard", min=0, metavar="N", help="Shard to draw; default: all."),
]
Part = Annotated[
    int | None,
    typer.Option("--part", min=0, metavar="N", help="Part to plan; default: all."),
]
Future = Annotated[bool, typer.Option("--future", help="Accept a date after tomorrow (UTC).")]


def generate(
    config: Config = None,
    date: Date = None,
    work_dir: WorkDir = None,
    shard: Shard = None,
    future: Future = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw, score and gate the assets of one shard, or of all."""
    _run("generate", config, date, work_dir, shard, future=future, as_json=as_json, quiet=quiet)


def plan_part(
    config: Config = None,
    date: Date = None,
    work_dir: WorkDir = None,
    part: Part = None,
    future: Future = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Plan one part of the users that `split` has divided, or all."""
    _run("plan-part", config, date, work_dir, part, future=future, as_json=as_json, quiet=quiet)


def command_for(step: str) -> Callable[..., None]:
    """Makes the command of a step that takes only the shared options."""

    def command(
        config: Config = None,
        date: Date = None,
        work_dir: WorkDir = None,
        future: Future = False,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        _run(step, config, date, work_dir, None, future=future, as_json=as_json, quiet=quiet)

    return command


def _run(
    step: str,
    config: Path | None,
    date: str | None,
    work_dir: Path | None,
    number: int | None,
    *,
    future: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.nightly.steps import night_settings, run_step
    from pigeon_rec.runtime.airflow_step import parse_date

    settings = night_settings(config, work_dir)
    # By default the last complete day in UTC, as the DAG that runs at 02:00.
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    night = yesterday if date is None else parse_date(date)
    progress = choose_progress(quiet=quiet)
    summary = run_step(step, settings, night, number=number, progress=progress, future=future)
    print_result(f"{step} {night}", summary, as_json=as_json, quiet=quiet)


for _step, _help in {
    "check": "Prepare and check the tables; a night with nothing to draw ends here.",
    "recommend": "Make recommendations: train the recommender, or validate the given file.",
    "split": "Divide many users into parts, which can be planned side by side.",
    "plan-part": None,
    "plan": "Choose the requests to draw and split them into shards.",
    "generate": None,
    "publish": "Write the night into the warehouse, in one transaction.",
    "promote": "Make the published tables visible to readers.",
    "report": "Write the night's report and its gallery page.",
    "run": "Run all steps in this process.",
}.items():
    _numbered = {"generate": generate, "plan-part": plan_part}
    app.command(_step, help=_help)(_numbered.get(_step) or command_for(_step))
