"""`pigeon-rec model ...`: facts about one model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson
from pigeon_rec._cli.output import as_table, print_json, print_summary

if TYPE_CHECKING:
    from pigeon_rec.model.inventory import Inventory

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Inspect a bundled, a saved or a published model.")

_MEMORIES = ("float32", "bfloat16", "int8", "int4")
_COLUMNS = ("part", "parameters", "stored as", *_MEMORIES)


@app.callback()
def _group() -> None:
    """Keeps `info` a subcommand: typer would merge an only command into its parent."""


@app.command()
def info(
    model: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="Bundled model, or folder of a model.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show parts, parameters, memory per number type, and missing files; loads no weights."""
    from pigeon_rec.model.inventory import take_inventory

    found = take_inventory(model)
    if as_json:
        print_json(_facts(found))
    else:
        _show(found)


def _facts(found: Inventory) -> dict[str, Any]:
    totals = {name: found.total(name) for name in ("parameters", *_MEMORIES)}
    return {**dataclasses.asdict(found), "complete": found.complete, "total": totals}


def _show(found: Inventory) -> None:
    layout = "in the published layout" if found.published else "saved by pigeon-rec"
    facts = {"folder": found.folder, "layout": layout, "complete": _yes(found.complete)}
    if found.problem:
        facts["problem"] = found.problem
    print_summary(f"model {found.folder.name}", facts)
    rows = [
        [part.name, f"{part.parameters:,}", ", ".join(part.stored)]
        + [_size(getattr(part, name)) for name in _MEMORIES]
        for part in found.parts
    ]
    totals = [_size(found.total(name)) for name in _MEMORIES]
    print(as_table(_COLUMNS, [*rows, ["all", f"{found.total('parameters'):,}", "", *totals]]))
    for path in found.missing:
        print(f"missing file: {path}")
    for part in found.parts:
        for key in part.missing:
            print(f"missing key: {part.name}: {key}")
        for key in part.unknown:
            print(f"unknown key: {part.name}: {key}")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _size(count: int | None) -> str:
    if count is None:
        return ""
    unit, name = (1e9, "GB") if count >= 1e9 else (1e6, "MB")
    return f"{count / unit:.2f} {name}"
