"""`pigeon-rec evaluate ...`: evaluate a model, the judges and a scorer; compare methods blindly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pigeon_rec._cli.data_options import GivenData, with_data
from pigeon_rec._cli.options import AsJson, Quiet
from pigeon_rec._cli.output import print_json, print_result

__all__ = ["app"]

app = typer.Typer(
    invoke_without_command=True,
    help="Evaluate a model on what training has held out, or (subcommands) judges and scorer.",
)

_OUT = Path("var/evaluation")

Out = Annotated[
    Path,
    typer.Option(
        "--out", metavar="DIR", help="Folder of pictures and results; an existing one is resumed."
    ),
]
Settings = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="YAML file of evaluation settings."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|DIR", help="Model to evaluate (replaces the setting)."),
]
Stage1 = Annotated[
    str | None,
    typer.Option("--stage1-model", metavar="NAME|DIR", help="The model without its second stage."),
]
JudgedModel = Annotated[
    str,
    typer.Option("--model", metavar="NAME|DIR", help="Model whose autoencoder decodes artwork."),
]
Cases = Annotated[int | None, typer.Option("--cases", min=1, help="Most held-out cases.")]
ScorerOf = Annotated[
    str | None,
    typer.Option(
        "--scorer", metavar="NAME|DIR", help="Model whose scorer chooses; default: see --settings."
    ),
]
HeldOut = Annotated[
    Path | None,
    typer.Option(
        "--held-out", metavar="FILE", help="held_out.csv of training; default: the model's own."
    ),
]
JudgesIn = Annotated[
    Path | None,
    typer.Option("--judges", metavar="DIR", help="Judges to measure with (default: see below)."),
]
Methods = Annotated[
    str | None, typer.Option("--methods", metavar="A,B", help="Methods to evaluate (default: all).")
]
IPAdapter = Annotated[
    str | None,
    typer.Option(
        "--ip-adapter", metavar="DIR", help="Pipeline with IP-Adapter, of the method ip_adapter."
    ),
]
Janus = Annotated[
    str | None, typer.Option("--janus", metavar="DIR", help="Model of the method janus.")
]
OwnBackbone = Annotated[
    str | None,
    typer.Option(
        "--own-backbone", metavar="MODULE:FUNCTION", help="Backbone of the method own_backbone."
    ),
]
Curves = Annotated[str | None, typer.Option("--curves", metavar="A,B|all", help="Curves to add.")]
CurveCases = Annotated[
    int | None, typer.Option("--curve-cases", min=1, help="Cases of each point of a curve.")
]
Threads = Annotated[int | None, typer.Option("--threads", min=0, help="CPU threads.")]
ReadmeTable = Annotated[
    Path | None,
    typer.Option(
        "--readme-table",
        metavar="FILE",
        help="Write the table in Markdown to a new file, or between the marks of an existing one.",
    ),
]


@app.callback()
@with_data
def evaluate(
    given: GivenData,
    context: typer.Context,
    out: Out = _OUT,
    settings: Settings = None,
    model: Model = None,
    stage1_model: Stage1 = None,
    scorer: ScorerOf = None,
    held_out: HeldOut = None,
    judges: JudgesIn = None,
    cases: Cases = None,
    methods: Methods = None,
    ip_adapter: IPAdapter = None,
    janus: Janus = None,
    own_backbone: OwnBackbone = None,
    curves: Curves = None,
    curve_cases: CurveCases = None,
    threads: Threads = None,
    readme_table: ReadmeTable = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw, measure and report; a stopped run is resumed.

    On a catalogue of your own, judges are fitted first, and kept in DIR/judges.
    """
    if context.invoked_subcommand is not None:
        return
    from pigeon_rec.evaluation.methods import CURVES
    from pigeon_rec.evaluation.settings import load_settings

    options = {
        "model": model,
        "stage1_model": stage1_model,
        "scorer": scorer,
        "held_out": held_out,
        "judges": judges,
        "cases": cases,
        "methods": _names(methods),
        "ip_adapter": ip_adapter,
        "janus": janus,
        "own_backbone": own_backbone,
        "curves": tuple(CURVES) if curves == "all" else _names(curves),
        "curve_cases": curve_cases,
        "threads": threads,
    }
    fields = given.fields() | _without_none(options)
    chosen = load_settings(settings, fields, given.night_settings())
    # Drawing takes seconds to import, so settings are checked first.
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.evaluation.report import write_report
    from pigeon_rec.evaluation.run import evaluate as run
    from pigeon_rec.evaluation.tables import markdown_table, write_between
    from pigeon_rec.inputs.data import prepared_data

    progress = choose_progress(quiet=quiet)
    chosen = chosen.model_copy(update=dict(prepared_data(chosen, out, progress=progress)))
    result = run(chosen, out, progress=progress)
    page = write_report(out, result.summary)
    if readme_table is not None:
        write_between(markdown_table(result.summary), readme_table)
    if as_json:
        print_json(dict(result.summary))
    elif not quiet:
        print(markdown_table(result.summary))
        print(f"report: {page}")


@app.command()
@with_data
def judges(
    given: GivenData,
    model: JudgedModel = "sticker-64",
    folder: Annotated[
        Path | None,
        typer.Option("--judges", metavar="DIR", help="Judges to measure (default: the bundled)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the judges on all real held-out artwork: as it is, compressed, blurred, decoded.

    Judges of a catalogue of your own are fitted first if the folder does not have them.
    """
    from pigeon_rec.evaluation.data import data_for
    from pigeon_rec.evaluation.fit import fitted_judges
    from pigeon_rec.evaluation.judge_accuracy import autoencoder_of, held_out_accuracy
    from pigeon_rec.evaluation.judges import JUDGES_PATH, Judges
    from pigeon_rec.model.loading import load_pipeline

    pipeline, folder = load_pipeline(model), folder or JUDGES_PATH
    decoder, side = autoencoder_of(pipeline), pipeline.config.tokenizer.image_size
    settings = given.prepared(folder, quiet=True)
    if settings is None:
        accuracy = held_out_accuracy(Judges.load(folder), decoder, side=side)
    else:
        data = data_for(settings, model)
        found = fitted_judges(data, side, decoder, folder)
        accuracy = held_out_accuracy(found, decoder, data, side)
    print_result("judges", asdict(accuracy), as_json=as_json)


@app.command()
@with_data
def scorer(
    given: GivenData,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME|DIR", help="Model of the scorer.")
    ] = "sticker-64",
    out: Out = _OUT,
    as_json: AsJson = False,
) -> None:
    """Measure the accuracy of a scorer on all real held-out artwork.

    Texts pass or fail at the limits that a night would have: calibrated on a catalogue of your own.
    """
    from pigeon_rec.config import NightlyGateConfig
    from pigeon_rec.evaluation.data import data_for
    from pigeon_rec.evaluation.gate import GivenGate, evaluation_gate
    from pigeon_rec.evaluation.scorer_accuracy import scorer_accuracy
    from pigeon_rec.scoring.scorer import load_scorer

    night = given.night_settings()
    limits, nights = (NightlyGateConfig(), None) if night is None else (night.gate, night.work_dir)
    data = data_for(given.prepared(out, quiet=True), model)
    found = load_scorer(model)
    gate = evaluation_gate(GivenGate(limits, model, nights, out), data, found)
    accuracy = scorer_accuracy(found, gate.limits, data, found.image_size)
    print_result("scorer", asdict(accuracy) | {"gate": gate.summary()}, as_json=as_json)


@app.command("train-judges")
@with_data
def train_judges(
    given: GivenData,
    destination: Annotated[Path, typer.Argument(help="Folder to write to.")],
    model: JudgedModel = "sticker-64",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train judges on artwork that is not held out (the bundled ones: half an hour of one core).

    On a catalogue of your own they are the judges that an evaluation would fit.
    """
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.evaluation.data import data_for
    from pigeon_rec.evaluation.fit import fitted_judges
    from pigeon_rec.evaluation.judge_accuracy import autoencoder_of, held_out_accuracy
    from pigeon_rec.evaluation.train_judges import train_judges as train
    from pigeon_rec.model.loading import load_pipeline

    pipeline, progress = load_pipeline(model), choose_progress(quiet=quiet)
    settings = given.prepared(destination, quiet=quiet)
    if settings is None:
        accuracy = train(destination, autoencoder_of(pipeline), progress=progress)
    else:
        data, side = data_for(settings, model), pipeline.config.tokenizer.image_size
        decoder = autoencoder_of(pipeline)
        fitted = fitted_judges(data, side, decoder, destination, progress=progress)
        accuracy = held_out_accuracy(fitted, decoder, data, side)
    facts = {"path": str(destination), **asdict(accuracy)}
    print_result("train-judges", facts, as_json=as_json, quiet=quiet)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="First method.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Second method.")],
    out: Out = _OUT,
    cases: Annotated[int, typer.Option("--cases", min=1, help="Maximum number of cases.")] = 60,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the cases, their order and the sides.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Write a page on which people compare two methods blindly."""
    from pigeon_rec.evaluation.compare import write_comparison

    written = write_comparison(out, first, second, count=cases, seed=seed)
    facts = {"page": str(written.page), "key": str(written.key), "cases": written.cases}
    print_result("compare", facts, as_json=as_json)


@app.command()
def tally(
    answers: Annotated[list[Path], typer.Argument(help="JSON files downloaded from the page.")],
    key: Annotated[Path, typer.Option("--key", help="Key file written with the page.")],
    as_json: AsJson = False,
) -> None:
    """Count the answers: win rate of the first method, with its interval."""
    from pigeon_rec.evaluation.compare import tally_answers

    print_result("tally", asdict(tally_answers(answers, key)), as_json=as_json)


def _without_none(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def _names(given: str | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(name.strip() for name in given.split(","))
