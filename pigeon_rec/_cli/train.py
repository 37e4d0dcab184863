"""`pigeon-rec train ...`: the recipes that make a model, preference pairs, and the bundle."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pigeon_rec._cli.data_options import GivenData, with_data
from pigeon_rec._cli.options import AsJson, Quiet
from pigeon_rec._cli.output import print_json, print_result
from pigeon_rec.errors import ConfigError

if TYPE_CHECKING:
    from pigeon_rec.data.dataset import Dataset
    from pigeon_rec.training.configuration import TrainingConfig

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Train a model: every recipe resumes from its checkpoint; `bundle` makes a model folder.",
)

Config = Annotated[
    str,
    typer.Option(
        "--config",
        "--plan",
        metavar="NAME|FILE",
        help="Bundled training configuration, or a YAML file; `--plan` is deprecated.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder of checkpoints, weights and metrics.")
]
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="NAME|DIR", help="Start from the weights of this model."),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes", metavar="N", min=0.01, help="Minutes of training, instead of the configured."
    ),
]
From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="candidates|clicks",
        help="Candidates of stage 1 that differ clearly, or served pictures that users clicked.",
    ),
]
FromNights = Annotated[
    Path | None,
    typer.Option(
        "--work-dir", metavar="DIR", help="Work directory of the nights, for --from clicks."
    ),
]
Within = Annotated[
    str,
    typer.Option(
        "--within", metavar="user|cohort", help="Whose exposures are compared, for --from clicks."
    ),
]
MinShown = Annotated[
    int,
    typer.Option(
        "--min-shown",
        metavar="N",
        min=1,
        help="Least exposures of a picture that nobody clicked, for --from clicks.",
    ),
]
_OUT = Path("training-runs/sticker-64")
_PAIRS = "Preference pairs: candidates of stage 1 that differ clearly, or clicks."

RECIPES = {
    "tokenizer": "Visual tokenizer and tokenizer decoder (backbone).",
    "autoencoder": "Latent autoencoder of the image generator (backbone).",
    "scorer": "CLIP-like scorer of images and texts (backbone).",
    "renderer": "Denoising UNet; needs tokenizer and autoencoder (backbone).",
    "distil": "Renderer for one or two solver steps; needs the renderer (backbone).",
    "language-model": "Language model and adapter; needs the tokenizer (backbone).",
    "reconstruct": "Stage 1, masked preference reconstruction; needs the language model.",
    "align": "Stage 2, pairwise preference alignment; needs the preference pairs.",
}
"""Recipe -> its line of help, in the order they run; listed here to avoid importing torch."""


def _add(recipe: str, line: str) -> None:
    @with_data
    def command(
        given: GivenData,
        config: Config = "sticker-64",
        out: Out = _OUT,
        start: Start = None,
        minutes: Minutes = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        from pigeon_rec.training.configuration import load_training_config
        from pigeon_rec.training.recipes import run_recipe, training_artwork

        settings = load_training_config(config)
        if minutes is not None:
            settings = settings.with_minutes_of(recipe, minutes)
        data = _data(out, given, start, quiet=quiet or as_json)
        path = run_recipe(
            recipe,
            settings,
            out,
            start=start,
            artwork=training_artwork(settings, data),
            show_progress=not quiet,
        )
        _report(recipe, path, as_json=as_json, quiet=quiet)

    app.command(recipe, help=line)(command)


@with_data
def _pairs(
    given: GivenData,
    config: Config = "sticker-64",
    out: Out = _OUT,
    source: From = "candidates",
    work_dir: FromNights = None,
    within: Within = "cohort",
    min_shown: MinShown = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.training.configuration import load_training_config
    from pigeon_rec.training.pairs import make_pairs

    settings = load_training_config(config)
    if source not in ("candidates", "clicks"):
        raise ConfigError(
            f"pairs are made from candidates or from clicks, received {source!r}",
            location="--from",
        )
    _data(out, given, quiet=quiet or as_json)
    if source == "clicks":
        _report_clicks(settings, out, work_dir, within, min_shown, as_json=as_json, quiet=quiet)
        return
    path = make_pairs(settings, out, progress=choose_progress(quiet=quiet or as_json))
    _report("pairs", path, as_json=as_json, quiet=quiet)


def _report_clicks(
    settings: TrainingConfig,
    out: Path,
    work_dir: Path | None,
    within: str,
    min_shown: int,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Makes the pairs from the exposures of a work directory, and prints how many there are."""
    from pigeon_rec.runtime.work_dir import serving_file
    from pigeon_rec.training.click_pairs import make_click_pairs
    from pigeon_rec.warehouse.feedback import click_pairs

    if work_dir is None:
        raise ConfigError(
            "pairs from clicks need the work directory of the nights",
            location="--work-dir",
            remedy="For example: pigeon-rec train pairs --from clicks --work-dir var",
        )
    most = settings.pairs.windows + settings.pairs.validation_windows
    link = serving_file(work_dir)
    clicks = click_pairs(link, within=within, min_shown=min_shown, limit=most)
    made = make_click_pairs(settings, out, clicks)
    facts = {"found": clicks.height, **dataclasses.asdict(made)}
    print_result("pairs from clicks", facts, as_json=as_json, quiet=quiet)


for _recipe, _line in RECIPES.items():
    if _recipe == "align":
        app.command("pairs", help=_PAIRS)(_pairs)
    _add(_recipe, _line)


@app.command(name="all")
@with_data
def everything(
    given: GivenData,
    config: Config = "sticker-64",
    out: Out = _OUT,
    start: Start = None,
    minutes: Minutes = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train every recipe one after another, and bundle DIR/model; finished recipes are skipped.

    With --start, parts of that model which redraw the catalogue's pictures well are adopted as
    they are, and the others are trained on. The minutes are shared out among the recipes that are
    trained, as the configuration says (`share`).
    """
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.training.chain import train_all
    from pigeon_rec.training.configuration import load_training_config

    settings = load_training_config(config)
    _data(out, given, start, quiet=quiet or as_json)
    path = train_all(
        settings,
        out,
        start=start,
        minutes=minutes,
        progress=choose_progress(quiet=quiet or as_json),
        show_progress=not quiet,
    )
    _report("all", path, as_json=as_json, quiet=quiet)


@app.command()
@with_data
def adopt(
    given: GivenData,
    model: Annotated[str, typer.Argument(help="Name of a bundled model, or a model's folder.")],
    recipes: Annotated[list[str], typer.Argument(help="Recipes whose weights to copy.")],
    config: Config = "sticker-64",
    out: Out = _OUT,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy parts of a finished model into the training folder, for the recipes that need them."""
    from pigeon_rec.training.adopt import adopt as copy_parts
    from pigeon_rec.training.configuration import load_training_config

    settings = load_training_config(config)
    _data(out, given, model, quiet=quiet or as_json)
    for path in copy_parts(model, settings, out, recipes):
        _report(path.parent.name, path, as_json=as_json, quiet=quiet)


@app.command()
def bundle(
    destination: Annotated[Path, typer.Argument(help="Folder of the finished model.")],
    config: Config = "sticker-64",
    out: Out = _OUT,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Assemble the trained recipes into one model folder, in half precision."""
    from pigeon_rec.training.bundle import bundle as assemble_model
    from pigeon_rec.training.configuration import load_training_config

    path = assemble_model(load_training_config(config), out, destination)
    _report("bundle", path, as_json=as_json, quiet=quiet)


def _data(out: Path, given: GivenData, start: str | None = None, *, quiet: bool) -> Dataset:
    """Loads the data of the training folder, and says what they are and what they lack."""
    from pigeon_rec.model.paths import model_folder
    from pigeon_rec.training.data import folder_data, substitutes

    settings = given.prepared(out, quiet=quiet)
    data = folder_data(out, settings, started_from=None if start is None else model_folder(start))
    if not quiet and data.world is None:
        held_out = data.held_out_items().height
        print(
            f"{data.name}: {len(data.catalogue)} items, {held_out} of them held out; "
            f"{data.interactions['user_id'].n_unique()} users",
            file=sys.stderr,
        )
        for what, how in substitutes(data).items():
            print(f"{what}: {how}", file=sys.stderr)
    return data


def _report(recipe: str, path: Path, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({"recipe": recipe, "path": str(path)})
    elif not quiet:
        print(f"{recipe}: {path}")
