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

Plan = Annotated[
    str, typer.Option("--plan", metavar="NAME|FILE", help="Bundled training plan, or a YAML file.")
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder of checkpoints, weights and metrics.")
]
Start = Annotated[
    str | None,
    typer.Option(
        "--start", metavar="NAME|DIR", help="Go on from this model's weights, not from random ones."
    ),
]
_OUT = Path("training-runs/sticker-64")
_PAIRS = "Preference pairs: draw and score candidates with stage 1's model, keep best and worst."

RECIPES = {
    "tokenizer": "Visual tokenizer and tokenizer decoder (backbone).",
    "autoencoder": "Latent autoencoder of the image generator (backbone).",
    "scorer": "CLIP-like scorer of images and texts (backbone).",
    "renderer": "Denoising UNet; needs tokenizer and autoencoder (backbone).",
    "language-model": "Language model and adapter; needs the tokenizer (backbone).",
    "reconstruct": "Stage 1, masked preference reconstruction; needs the language model.",
    "align": "Stage 2, pairwise preference alignment; needs the preference pairs.",
}
"""Every recipe in the order they run, with its line of help; torch is imported only to train."""


def _add(recipe: str, line: str) -> None:
    def command(
        plan: Plan = "sticker-64",
        out: Out = _OUT,
        start: Start = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        from pigeon_rec.training.recipes import load_training_config, run_recipe

        path = run_recipe(
            recipe, load_training_config(plan), out, start=start, show_progress=not quiet
        )
        _tell(recipe, path, as_json=as_json, quiet=quiet)

    app.command(recipe, help=line)(command)


def _pairs(
    plan: Plan = "sticker-64", out: Out = _OUT, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.training.configuration import load_training_config
    from pigeon_rec.training.pairs import make_pairs

    path = make_pairs(
        load_training_config(plan), out, progress=choose_progress(quiet=quiet or as_json)
    )
    _tell("pairs", path, as_json=as_json, quiet=quiet)


for _recipe, _line in RECIPES.items():
    if _recipe == "align":
        app.command("pairs", help=_PAIRS)(_pairs)
    _add(_recipe, _line)


@app.command()
def adopt(
    model: Annotated[str, typer.Argument(help="Name of a bundled model, or a model's folder.")],
    recipes: Annotated[list[str], typer.Argument(help="Recipes whose part to take over.")],
    plan: Plan = "sticker-64",
    out: Out = _OUT,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Take parts of a finished model over as they are, for what builds on them."""
    from pigeon_rec.training.adopt import adopt as take_over
    from pigeon_rec.training.recipes import load_training_config

    for path in take_over(model, load_training_config(plan), out, recipes):
        _tell(path.parent.name, path, as_json=as_json, quiet=quiet)


@app.command()
def bundle(
    destination: Annotated[Path, typer.Argument(help="Folder of the finished model.")],
    plan: Plan = "sticker-64",
    out: Out = _OUT,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Put the trained recipes together as one model folder, in half precision."""
    from pigeon_rec.training.bundle import bundle as put_together
    from pigeon_rec.training.recipes import load_training_config

    path = put_together(load_training_config(plan), out, destination)
    _tell("bundle", path, as_json=as_json, quiet=quiet)


def _tell(what: str, path: Path, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json({"recipe": what, "path": str(path)})
    elif not quiet:
        print(f"{what}: {path}")
