"""`pigeon-rec import ...`: converts other data layouts into a catalogue and interactions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pigeon_rec._cli.options import AsJson, Quiet
from pigeon_rec._cli.output import print_result

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Convert other data layouts into a catalogue and interactions.",
)

Folder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Folder of the .npy files, or the one above processed_seq."),
]
Out = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="Folder for the parquet files and the pictures."),
]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Folder of the pictures (default: beside DIR)."),
]
_SHOWN = 5


@app.command()
def published(
    folder: Folder, out: Out, images: Images = None, as_json: AsJson = False, quiet: Quiet = False
) -> None:
    """Import the dataset layout that Pigeon's authors publish (stickers or movies)."""
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.data.import_published import import_published

    progress = choose_progress(quiet=quiet or as_json)
    summary = import_published(folder, out, images, progress=progress)
    facts = dataclasses.asdict(summary)
    problems = facts.pop("problems")
    facts["left_out"] = dict(Counter(problem["kind"] for problem in problems))
    facts["first_problems"] = list(problems[:_SHOWN])
    print_result(f"imported {folder}", facts, as_json=as_json, quiet=quiet)
