"""`pigeon-rec train ...`: the recipes that make a model, preference pairs, and the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pigeon_rec._cli.options import AsJson, Quiet
from pigeon_rec._cli.output import print_json

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
_OUT = Path("training-runs/sticker-64")
_PAIRS = "Preference pairs: candidates of stage 1 that differ clearly."

RECIPES = {
    "tokenizer": "Visual tokenizer and tokenizer decoder (backbone).",
    "autoencoder": "Latent autoencoder of the image generator (backbone).",
    "scorer": "CLIP-like scorer of images and texts (backbone).",
    "renderer": "Denoising UNet; needs tokenizer and autoencoder (backbone).",
    "language-model": "Language model and adapter; needs the tokenizer (backbone).",
    "reconstruct": "Stage 1, masked preference reconstruction; needs the language model.",
    "align": "Stage 2, pairwise preference alignment; needs the preference pairs.",
}
"""Recipe -> its line of help, in the order they run; listed here to avoid importing torch."""


def _add(recipe: str, line: str) -> None:
    def command(
        config: Config = "sticker-64",
        out: Out = _OUT,
        start: Start = None,
        minutes: Minutes = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        from pigeon_rec.training.configuration import load_training_config
        from pigeon_rec.training.recipes import run_recipe

        settings = load_training_config(config)
        if minutes is not None:
            settings = settings.with_minutes_of(recipe, minutes)
        path = run_recipe(recipe, settings, out, start=start, show_progress=not quiet)
        _report(recipe, path, as_json=as_json, quiet=quiet)

    app.command(recipe, help=line)(command)


def _pairs(
    config: Config = "sticker-64", out: Out = _OUT, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.training.configuration import load_training_config
    from pigeon_rec.training.pairs import make_pairs

    path = make_pairs(
        load_training_config(config), out, progress=choose_progress(quiet=quiet or as_json)
    )
    _report("pairs", path, as_json=as_json, quiet=quiet)


for _recipe, _line in RECIPES.items():
    if _recipe == "align":
        app.command("pairs", help=_PAIRS)(_pairs)
    _add(_recipe, _line)


@app.command(name="all")
def everything(
    config: Config = "sticker-64",
    out: Out = _OUT,
    start: Start = None,
    minutes: Minutes = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train every recipe one after another, and bundle DIR/model; finished recipes are skipped.

    The minutes are shared out among the recipes as the configuration says (`share`).
    """
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.training.chain import train_all
    from pigeon_rec.training.configuration import load_training_config

    settings = load_training_config(config)
    path = train_all(
        settings if minutes is None else settings.with_minutes(minutes),
        out,
        start=start,
        progress=choose_progress(quiet=quiet or as_json),
        show_progress=not quiet,
    )
    _report("all", path, as_json=as_json, quiet=quiet)


@app.command()
def adopt(
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

    for path in copy_parts(model, load_training_config(config), out, recipes):
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


def _report(recipe: str, path: Path, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({"recipe": recipe, "path": str(path)})
    elif not quiet:
        print(f"{recipe}: {path}")
