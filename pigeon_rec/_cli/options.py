"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pigeon_rec.data.settings import DataSettings

__all__ = [
    "AsJson",
    "Catalogue",
    "Config",
    "Date",
    "GroupBy",
    "Interactions",
    "Quiet",
    "Scenario",
    "Taste",
    "WorkDir",
    "data_settings",
]

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

Catalogue = Annotated[
    str | None,
    typer.Option(
        "--catalogue", metavar="NAME|FILE", help="Your items.parquet. Default: the bundled items."
    ),
]
Interactions = Annotated[
    str | None,
    typer.Option(
        "--interactions", metavar="NAME|FILE", help="Its users: a parquet or RecBole .inter file."
    ),
]
Scenario = Annotated[
    str | None,
    typer.Option("--scenario", metavar="NAME|FILE", help="Instruction template of the pictures."),
]
Taste = Annotated[
    str | None,
    typer.Option(
        "--taste", metavar="COLUMN", help="Column of looks that users prefer. Default: `style`."
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="COLUMN",
        help="Column whose equal values show the same thing. Default: `concept`.",
    ),
]


def data_settings(**given: str | None) -> DataSettings | None:
    """The data that options name, by field of `DataSettings`; None if none was given.

    Raises:
        ConfigError: They do not go together.
    """
    from pigeon_rec.data.settings import DataSettings
    from pigeon_rec.runtime.settings import check_settings

    values = {name: value for name, value in given.items() if value is not None}
    return check_settings(DataSettings, values, "options") if values else None
