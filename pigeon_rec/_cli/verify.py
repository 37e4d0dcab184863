"""`pigeon-rec verify`: says whether picture files are marked as generated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Final

import typer

from pigeon_rec._cli.options import AsJson
from pigeon_rec._cli.output import print_json, print_summary

__all__ = ["verify"]

_TITLES: Final = {
    "c2pa": "signed as generated (C2PA)",
    "metadata": "marked as generated (metadata)",
    "none": "not marked as generated",
}

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Picture files.")]
Warehouse = Annotated[
    Path | None,
    typer.Option(
        "--warehouse",
        metavar="FILE",
        help="Also look the files up in this serving link, snapshot or warehouse.",
    ),
]
Trusted = Annotated[
    Path | None,
    typer.Option(
        "--trusted",
        metavar="PEM",
        help="Certificates of authorities; accept signatures of these only.",
    ),
]


def verify(
    files: Files, warehouse: Warehouse = None, trusted: Trusted = None, as_json: AsJson = False
) -> None:
    """Say how pictures are marked as generated; exit with status 1 if one is not."""
    from pigeon_rec.warehouse.verify import verify_pictures

    verdicts = verify_pictures(files, warehouse=warehouse, trusted=trusted)
    if as_json:
        print_json({"pictures": [dataclasses.asdict(verdict) for verdict in verdicts]})
    else:
        for verdict in verdicts:
            facts = dataclasses.asdict(verdict)
            shown = {name: value for name, value in facts.items() if value is not None}
            print_summary(_TITLES[verdict.marking], shown)
    if any(verdict.problem for verdict in verdicts):
        raise typer.Exit(1)
