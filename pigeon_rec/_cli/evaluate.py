"""`pigeon-rec evaluate ...`: measure a model, its judges, and what people prefer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson, Quiet
from pigeon_rec._cli.output import print_json, print_summary

__all__ = ["app"]

app = typer.Typer(
    invoke_without_command=True,
    help="Measure a model on held-out pairs of test users; without a subcommand, do it.",
)

_OUT = Path("var/evaluation")

Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder of pictures and results; resumed.")
]
Settings = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="YAML file of evaluation settings."),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME|DIR", help="Model, instead of the settings'.")
]
Stage1 = Annotated[
    str | None,
    typer.Option("--stage1-model", metavar="NAME|DIR", help="The model without its second stage."),
]
Cases = Annotated[int | None, typer.Option("--cases", min=1, help="Held-out cases.")]
Methods = Annotated[
    str | None, typer.Option("--methods", metavar="A,B", help="Only these methods.")
]
Curves = Annotated[
    str | None, typer.Option("--curves", metavar="A,B|all", help="Also draw these curves.")
]
CurveCases = Annotated[
    int | None, typer.Option("--curve-cases", min=1, help="Cases of each point of a curve.")
]
Threads = Annotated[int | None, typer.Option("--threads", min=0, help="CPU threads.")]
ReadmeTable = Annotated[
    Path | None,
    typer.Option(
        "--readme-table",
        metavar="FILE",
        help="Write the table in Markdown: a new file, or between the marks of one.",
    ),
]


@app.callback()
def evaluate(
    context: typer.Context,
    out: Out = _OUT,
    settings: Settings = None,
    model: Model = None,
    stage1_model: Stage1 = None,
    cases: Cases = None,
    methods: Methods = None,
    curves: Curves = None,
    curve_cases: CurveCases = None,
    threads: Threads = None,
    readme_table: ReadmeTable = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw, measure and report; a run that was stopped goes on where it was."""
    if context.invoked_subcommand is not None:
        return
    from pigeon_rec.evaluation.methods import CURVES
    from pigeon_rec.evaluation.settings import load_settings

    given = {
        "model": model,
        "stage1_model": stage1_model,
        "cases": cases,
        "methods": _names(methods),
        "curves": tuple(CURVES) if curves == "all" else _names(curves),
        "curve_cases": curve_cases,
        "threads": threads,
    }
    chosen = load_settings(settings, {k: v for k, v in given.items() if v is not None})
    # What draws takes seconds to import: bad settings are told before that.
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.evaluation.report import write_report
    from pigeon_rec.evaluation.run import evaluate as run
    from pigeon_rec.evaluation.tables import markdown_table, write_markdown

    result = run(chosen, out, progress=choose_progress(quiet=quiet))
    page = write_report(out, result.summary)
    if readme_table is not None:
        write_markdown(result.summary, readme_table)
    if as_json:
        print_json(dict(result.summary))
    elif not quiet:
        print(markdown_table(result.summary))
        print(f"report: {page}")


@app.command()
def judges(as_json: AsJson = False) -> None:
    """Say what the judges are worth: their answers on all real held-out artwork."""
    from pigeon_rec.evaluation.judges import Judges, held_out_accuracy

    _tell("judges", held_out_accuracy(Judges.load()).as_dict(), as_json=as_json)


@app.command()
def scorer(
    model: Annotated[
        str, typer.Option("--model", metavar="NAME|DIR", help="Model that the scorer belongs to.")
    ] = "sticker-64",
    as_json: AsJson = False,
) -> None:
    """Say what a scorer is worth: what it knows of all real held-out artwork."""
    from pigeon_rec.evaluation.scorer_accuracy import accuracy_of_model

    _tell("scorer", accuracy_of_model(model).as_dict(), as_json=as_json)


@app.command("train-judges")
def train_judges(
    destination: Annotated[Path, typer.Argument(help="Folder of the finished judges.")],
    as_json: AsJson = False,
) -> None:
    """Fit both judges on artwork that is not held out; about two minutes."""
    from pigeon_rec.evaluation.train_judges import train_judges as train

    told = {"path": str(destination), "right_on_set_aside": train(destination)}
    _tell("train-judges", told, as_json=as_json)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a method.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Name of another.")],
    out: Out = _OUT,
    cases: Annotated[int, typer.Option("--cases", min=1, help="Most cases on the page.")] = 60,
    seed: Annotated[int, typer.Option("--seed", help="Of order and sides.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a page on which people choose between two methods without knowing which is which."""
    from pigeon_rec.evaluation.compare import write_comparison

    written = write_comparison(out, first, second, count=cases, seed=seed)
    facts = {"page": str(written.page), "key": str(written.key), "cases": written.cases}
    _tell("compare", facts, as_json=as_json)


@app.command()
def tally(
    answers: Annotated[list[Path], typer.Argument(help="JSON files that the page downloaded.")],
    key: Annotated[Path, typer.Option("--key", help="Key file written with the page.")],
    as_json: AsJson = False,
) -> None:
    """Sum up the answers: the first method's win rate, with its interval."""
    from pigeon_rec.evaluation.compare import tally_answers

    _tell("tally", tally_answers(answers, key).as_dict(), as_json=as_json)


def _names(given: str | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(name.strip() for name in given.split(","))


def _tell(title: str, facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        print_summary(title, facts)
