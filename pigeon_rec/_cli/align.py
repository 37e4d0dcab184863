"""`pigeon-rec align ...`: the steps of a weekly alignment, one by one or all in a row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated

import typer

from pigeon_rec._cli.options import AsJson, Quiet, WorkDir
from pigeon_rec._cli.output import print_result

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Train on the serving model, compare, and promote the better one: the steps of a week.",
)

Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="NAME|FILE",
        help="Weekly YAML file, or a bundled one such as `smoke`; without it, the defaults.",
    ),
]
Date = Annotated[
    str | None,
    typer.Option("--date", metavar="YYYY-MM-DD", help="Date of the alignment; without it, today."),
]

HELP = {
    "prepare": "Take the model to start from apart, into a training folder.",
    "reconstruct": "Train stage 1, masked preference reconstruction.",
    "pairs": "Draw, score and pair pictures: the best against the worst of each case.",
    "prefer": "Train stage 2, pairwise preference alignment, on those pairs.",
    "bundle": "Put the trained parts together as a model folder.",
    "evaluate": "Measure the new and the serving model on the same held-out cases.",
    "gate": "Compare them case by case and register the new model with the verdict.",
    "promote": "Make the accepted model the serving one.",
    "run": "Run all of these in this process.",
}
"""Every step with its line of help, in the order of an alignment."""


def command_for(step: str) -> Callable[..., None]:
    """Makes the command of one step."""

    def command(
        config: Config = None,
        date: Date = None,
        work_dir: WorkDir = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        from pigeon_rec._cli.bars import choose_progress
        from pigeon_rec.runtime.airflow_step import parse_date
        from pigeon_rec.weekly.steps import alignment_settings, run_step

        settings = alignment_settings(config, work_dir)
        day = parse_date(date) if date is not None else dt.datetime.now(dt.UTC).date()
        summary = run_step(step, settings, day, progress=choose_progress(quiet=quiet))
        print_result(f"{step} {day}", summary, as_json=as_json, quiet=quiet)

    return command


for _step, _line in HELP.items():
    app.command(_step, help=_line)(command_for(_step))
