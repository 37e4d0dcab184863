"""`pigeon-rec model ...`: facts about one model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson
from pigeon_rec._cli.output import as_table, print_json, print_result, print_summary

if TYPE_CHECKING:
    from pigeon_rec.model.inventory import Inventory

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Inspect a bundled, a saved or a published model.")

_MEMORIES = ("float32", "bfloat16", "int8", "int4")
_LAYOUTS = {
    "pigeon": "saved by pigeon-rec",
    "ip_adapter": "of diffusers, with an IP-Adapter (ip_adapter)",
    "janus": "of transformers (janus)",
}
_COLUMNS = ("part", "parameters", "stored as", *_MEMORIES)


@app.callback()
def _group() -> None:
    """Keeps `info` a subcommand: typer would merge an only command into its parent."""


@app.command()
def info(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIR|MODULE:FUNCTION", help="Bundled model, folder, or own backbone."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show kind, parts, parameters, memory per number type, and missing files; loads no weights.

    A backbone of your own says what it is.
    """
    from pigeon_rec.model.backbones.kinds import is_function

    if is_function(model):
        _show_own(model, as_json=as_json)
        return
    from pigeon_rec.model.inventory import take_inventory

    found = take_inventory(model)
    if as_json:
        print_json(_facts(found))
    else:
        _show(found)


def _facts(found: Inventory) -> dict[str, Any]:
    totals = {name: found.total(name) for name in ("parameters", *_MEMORIES)}
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return {
        **facts,
        "parts": [dataclasses.asdict(part) for part in found.parts],
        "options": dict(found.options),
        "bit_exact": {"cpu": True, "accelerator": False},
        "complete": found.complete,
        "total": totals,
    }


def _show_own(model: str, *, as_json: bool) -> None:
    from pigeon_rec.model.backbones.load import load_backbone

    own = load_backbone(model)
    facts = {"kind": "function", "version": own.version, "image_size": own.image_size}
    print_result(f"model {model}", facts | {"bit_exact": own.bit_exact}, as_json=as_json)


def _show(found: Inventory) -> None:
    layout = "in the published layout" if found.published else _LAYOUTS[found.kind]
    facts = {"folder": found.folder, "layout": layout, "complete": _yes(found.complete)}
    if found.image_size is not None:
        facts["side of its pictures"] = f"{found.image_size} pixels"
    if found.options:
        options = (f"{name}: {value!r}" for name, value in found.options.items())
        facts["options and defaults"] = ", ".join(options)
    facts["same bytes in any batch"] = "on a CPU; on an accelerator the last bit may differ"
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
