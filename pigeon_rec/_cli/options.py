"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "Config", "Date", "Quiet", "WorkDir"]

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file of the night's settings."),
]
WorkDir = Annotated[
    Path | None,
    typer.Option(
        "--work-dir", metavar="DIR", help="Folder of runs and warehouse; overrides the config."
    ),
]
Date = Annotated[
    str | None,
    typer.Option(
        "--date", metavar="YYYY-MM-DD", help="Logical date of the night; default: yesterday (UTC)."
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print results and errors as one JSON object.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress and no summary.")]
