"""The command `pigeon-rec`: the only part of the product that prints.

Neither this module nor the modules of the commands import anything heavy: each command imports what
it needs when it runs, so that `pigeon-rec --help` is fast.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from pigeon_rec._cli import (
    align,
    evaluate,
    gate,
    importers,
    model,
    models,
    movies,
    nightly,
    recbole,
    tables,
    train,
    warehouse,
)
from pigeon_rec._cli.forget import forget
from pigeon_rec._cli.inputs import check, init
from pigeon_rec._cli.options import AsJson
from pigeon_rec._cli.output import print_error, print_json
from pigeon_rec._cli.sql import sql
from pigeon_rec._cli.stickers import posters, stickers
from pigeon_rec._cli.verify import verify
from pigeon_rec._version import __version__
from pigeon_rec.errors import ConfigError, PigeonError, storage_error

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Personalised visuals for recommender systems, made nightly and served with SQL.",
)
tables.register(importers.app)
movies.register(importers.app)
app.add_typer(nightly.app, name="nightly")
app.add_typer(align.app, name="align")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(gate.app, name="gate")
app.add_typer(importers.app, name="import")
app.add_typer(model.app, name="model")
app.add_typer(models.app, name="models")
app.add_typer(recbole.app, name="recbole")
app.add_typer(train.app, name="train")
app.add_typer(warehouse.app, name="warehouse")
app.command()(init)
app.command()(check)
app.command()(forget)
app.command()(posters)
app.command()(sql)
app.command()(stickers)
app.command()(verify)


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the version."""
    if as_json:
        print_json({"version": __version__})
    else:
        print(__version__)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Declares the options before the command's name."""


def main() -> None:
    """Runs the command line and ends the process.

    Exit status: 0 on success; the `exit_code` of a `PigeonError` (the message goes to stderr, or as
    JSON to stdout); 2 for a wrong option; 130 when interrupted. Other exceptions are bugs and keep
    their traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that lacks a character gets its escape.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(as_json="--json" in sys.argv[1:]))


def _run(*, as_json: bool) -> int:
    try:
        _check_arguments(sys.argv[1:])
        # In standalone mode typer prints usage errors itself, as text; with --json they are JSON.
        return app(standalone_mode=not as_json) or 0
    except PigeonError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except typer.TyperException as error:
        print_error(error, as_json=as_json)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`): discard the output that is still buffered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print_error(failed := storage_error(error, os.getcwd()), as_json=as_json)  # noqa: PTH109
        return failed.exit_code


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuses names of files that are not UTF-8, which neither YAML, parquet nor DuckDB can hold.

    Raises:
        ConfigError: There is one.
    """
    for text in arguments:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ConfigError(
                f"{text!a} is not UTF-8",
                location="the command line",
                remedy="Give the file or folder another name",
            )


if __name__ == "__main__":
    main()
