"""`pigeon-rec sql`: a query over the served tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson, Config, WorkDir
from pigeon_rec._cli.output import as_table, print_json
from pigeon_rec.errors import ConfigError

__all__ = ["sql"]

Query = Annotated[
    str,
    typer.Argument(
        metavar="QUERY", help="SQL, or the name of a bundled query such as `best_assets`."
    ),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE",
        help="Value of $NAME in the query; may be repeated.",
    ),
]


def sql(
    query: Query,
    param: Param = None,
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a SQL query on the served tables, which it can only read; images appear as their size."""
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.runtime.work_dir import serving_file
    from pigeon_rec.warehouse import answer

    bindings = _bindings(param or [])
    link = serving_file(night_settings(config, work_dir).work_dir)
    columns, found = answer(link, query, bindings)
    rows = [[_printable(value) for value in row] for row in found]
    if as_json:
        print_json({"columns": columns, "rows": rows})
    else:
        print(as_table(columns, rows))


def _bindings(params: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in params]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise ConfigError(
                f"a parameter needs a name and a value, received {name!r}",
                location="--param",
                remedy="Give it as --param user_id=u1",
            )
    return {name: value for name, _, value in pairs}


def _printable(value: object) -> Any:
    if isinstance(value, Mapping):
        return {_printable(key): _printable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(part) for part in value]
    return f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else value
