"""Options that name the data of training and evaluation, for commands that share all of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pigeon_rec.config import NightlyConfig
    from pigeon_rec.data.settings import DataSettings, TableSettings

__all__ = ["GivenData", "with_data"]


def _option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text)


_OPTIONS: Mapping[str, Any] = MappingProxyType(
    {
        "night": Annotated[
            Path | None,
            _option("--night", "FILE", "Take tables and scenario from this night.yaml."),
        ],
        "catalogue": Annotated[
            str | None,
            _option("--catalogue", "NAME|FILE", "Table of items. Default: the bundled stickers."),
        ],
        "interactions": Annotated[
            str | None, _option("--interactions", "NAME|FILE", "Table of their users' choices.")
        ],
        "scenario": Annotated[
            str | None, _option("--scenario", "NAME|FILE", "Words and shape of the pictures.")
        ],
        "taste": Annotated[
            str | None,
            _option("--taste", "COLUMN", "Column of looks that users prefer. Default: `style`."),
        ],
        "group_by": Annotated[
            str | None,
            _option(
                "--group-by",
                "COLUMN",
                "Column whose equal values show the same thing. Default: `concept`.",
            ),
        ],
    }
)
"""Option -> its type, in the order of the help text."""


@dataclass(frozen=True)
class GivenData:
    """What was given of the data options, by name."""

    values: Mapping[str, str]
    night: Path | None

    def settings(self) -> TableSettings | None:
        """Checks what was given; None if nothing was.

        Raises:
            ConfigError: The options do not go together.
        """
        from pigeon_rec.data.settings import TableSettings
        from pigeon_rec.runtime.settings import check_settings

        values = self.fields()
        return check_settings(TableSettings, values, "options") if values else None

    def night_settings(self) -> NightlyConfig | None:
        """The settings of the night; None if none was given.

        Raises:
            ConfigError: They cannot be read.
        """
        from pigeon_rec.config import load_config

        return None if self.night is None else load_config(self.night)

    def fields(self) -> dict[str, Any]:
        """The fields of `TableSettings` that were given: those of a night, then single options.

        Raises:
            ConfigError: The settings of the night cannot be read.
        """
        night = self.night_settings()
        if night is None:
            return dict(self.values)
        from pigeon_rec.inputs.data import tables_of_night

        return {**tables_of_night(night).model_dump(), **self.values}

    def prepared(self, folder: Path, *, quiet: bool) -> DataSettings | None:
        """As `settings`; tables that are not in our own form are imported into `folder`.

        Raises:
            PigeonError: The options do not go together, or a table cannot be read.
        """
        settings = self.settings()
        if settings is None:
            return None
        from pigeon_rec._cli.bars import choose_progress
        from pigeon_rec.inputs.data import prepared_data

        return prepared_data(settings, folder, progress=choose_progress(quiet=quiet))


def with_data(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the data options to a command, which receives them as `given: GivenData`.

    The options are the same everywhere, and typer reads them from the signature.
    """
    own = inspect.signature(command, eval_str=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [parameter for name, parameter in own.parameters.items() if name != "given"]
    parameters += [
        inspect.Parameter(name, kind, default=None, annotation=option)
        for name, option in _OPTIONS.items()
    ]

    @functools.wraps(command)
    def wrapped(*arguments: Any, **named: Any) -> None:
        given = {name: named.pop(name, None) for name in _OPTIONS}
        night = given.pop("night")
        values = {name: value for name, value in given.items() if value is not None}
        command(*arguments, given=GivenData(values, night), **named)

    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped
