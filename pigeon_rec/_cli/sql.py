"""`pigeon-rec sql`: a query over the tables that readers are served from."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson, Config, WorkDir
from pigeon_rec._cli.output import as_table, print_json
from pigeon_rec.errors import ConfigError

__all__ = ["sql"]

Query = Annotated[
    str,
    typer.Argument(
        metavar="QUERY", help="SQL text, or the name of a saved query such as `coverage`."
    ),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param", "-p", metavar="NAME=VALUE", help="Value bound to $NAME in the query; repeatable."
    ),
]


def sql(
    query: Query,
    param: Param = None,
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask the served tables; pictures are shown by their size."""
    from pigeon_rec.nightly.steps import night_settings, serving_file

    bindings = _bindings(param or [])
    columns, rows = _ask(serving_file(night_settings(config, work_dir)), query, bindings)
    shown = [[_shown(value) for value in row] for row in rows]
    if as_json:
        print_json({"columns": columns, "rows": shown})
    else:
        print(as_table(columns, shown))


def _ask(
    file: Path, query: str, bindings: dict[str, str]
) -> tuple[list[str], list[tuple[object, ...]]]:
    """Runs SQL text, or the saved query of that name, on a read-only connection."""
    from pigeon_rec.warehouse.connection import driver_errors, open_reader
    from pigeon_rec.warehouse.sql_files import query_names, sql_text

    text = sql_text(f"queries/{query}") if query in query_names() else query
    with contextlib.closing(open_reader(file)) as connection, driver_errors(query):
        answer = connection.execute(text, bindings)
        return [column[0] for column in answer.description or []], answer.fetchall()


def _bindings(params: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in params]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise ConfigError(
                f"a parameter needs a name and a value, received {name!r}",
                where="--param",
                remedy="Write it as --param user_id=u1",
            )
    return {name: value for name, _, value in pairs}


def _shown(value: object) -> Any:
    return f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else value
