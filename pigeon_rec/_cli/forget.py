"""`pigeon-rec forget`: erases users and keeps them out of later nights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from pigeon_rec._cli.options import AsJson, Config, Quiet, WorkDir
from pigeon_rec._cli.output import print_line, print_result

__all__ = ["forget"]

Users = Annotated[list[str] | None, typer.Argument(metavar="[USER...]", help="Ids of the users.")]
UsersFile = Annotated[
    Path | None,
    typer.Option("--users", metavar="FILE", help="Text file with one id per line.", dir_okay=False),
]


def forget(
    users: Users = None,
    file: UsersFile = None,
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Erase users from warehouse, snapshots, runs and caches, and keep them out of later nights."""
    from pigeon_rec.errors import ConfigError
    from pigeon_rec.nightly.steps import erase

    try:
        listed = [] if file is None else file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the users: {error}", location=str(file)) from error
    for number, line in enumerate(listed, start=1):
        if any(character < " " for character in line.strip()):
            raise ConfigError(
                "the line is no id: it has control characters",
                location=f"{file}, line {number}",
                remedy="Give a text file with one id per line",
            )
    named = [*(users or []), *(line.strip() for line in listed)]
    erased = erase(config, work_dir, named)
    # The title names nobody: terminals and schedulers keep what is printed.
    title = f"erased {erased.users} users"
    print_result(title, dataclasses.asdict(erased), as_json=as_json, quiet=quiet)
    if not (as_json or quiet or erased.rows or erased.files or erased.rewritten):
        print_line(
            "Nothing of them was found: check the ids. Later nights leave them out all the same."
        )
