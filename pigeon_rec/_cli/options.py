"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "Config", "Date", "Quiet", "WorkDir"]

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Nightly YAML file; without it, the defaults."),
]
WorkDir = Annotated[
    Path | None,
    typer.Option(
        "--work-dir", metavar="DIR", help="Folder of runs and warehouse, instead of the config's."
    ),
]
Date = Annotated[
    str | None,
    typer.Option(
        "--date", metavar="YYYY-MM-DD", help="Logical date of the night; without it, yesterday."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, errors included.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")]
