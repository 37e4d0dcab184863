"""`pigeon-rec model ...`: facts about one model, its card, and uploading it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson
from pigeon_rec._cli.output import as_table, print_json, print_result, print_summary

if TYPE_CHECKING:
    from pigeon_rec.model.inventory import Inventory

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Inspect a model, write its card, upload it.")

_MEMORIES = ("float32", "bfloat16", "int8", "int4")
_LAYOUTS = {
    "pigeon": "saved by pigeon-rec",
    "ip_adapter": "of diffusers, with an IP-Adapter (ip_adapter)",
    "janus": "of transformers (janus)",
}
_COLUMNS = ("part", "parameters", "stored as", *_MEMORIES)


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a saved model.")]
License = Annotated[
    str | None,
    typer.Option("--license", metavar="ID", help="Licence of the weights, such as apache-2.0."),
]


@app.command()
def info(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIR|OWNER/NAME|MODULE:FUNCTION",
            help="Bundled model, folder, repository of the Hugging Face Hub, or own backbone.",
        ),
    ],
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision", metavar="REV", help="Branch, tag or commit hash of a Hub model."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show kind, parts, parameters, memory, missing files and the card; loads no weights.

    A backbone of your own says what it is.
    """
    from pigeon_rec.model.backbones.kinds import is_function

    if is_function(model):
        _show_own(model, as_json=as_json)
        return
    from pigeon_rec.model.inventory import take_inventory

    found = take_inventory(model, revision)
    if as_json:
        print_json(_facts(found))
    else:
        _show(found)


@app.command()
def card(
    folder: Folder,
    license_id: License = None,
    base_model: Annotated[
        str | None,
        typer.Option("--base-model", metavar="NAME", help="Model that training started from."),
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option("--trained-on", metavar="TEXT", help="One line; may be repeated."),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            "--evaluation",
            metavar="FILE",
            dir_okay=False,
            help="evaluation.json of this model, to copy into the folder.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the model card (README.md) anew; what is not given stays as it is."""
    from pigeon_rec.model.card import add_evaluation, write_card

    if evaluation is not None:
        add_evaluation(folder, evaluation)
    given: dict[str, Any] = {
        "license": license_id,
        "base_model": base_model,
        "trained_on": None if trained_on is None else tuple(trained_on),
    }
    path = write_card(folder, **{name: value for name, value in given.items() if value})
    print_result("model card", {"path": path}, as_json=as_json)


@app.command()
def push(
    folder: Folder,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Repository; created if it is missing.")
    ],
    branch: Annotated[
        str | None, typer.Option("--branch", metavar="NAME", help="Branch to commit to.")
    ] = None,
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Who can see a repository that is created here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a model folder to the Hugging Face Hub in one commit (set HF_TOKEN)."""
    from pigeon_rec.model.card import CARD, write_card
    from pigeon_rec.model.hub import push_folder
    from pigeon_rec.model.paths import is_published, model_folder

    model_folder(folder)  # raises if there is no model
    if not is_published(folder) and not (folder / CARD).is_file():
        write_card(folder)
    pushed = push_folder(folder, repository, branch=branch, private=private)
    facts = {
        "repository": pushed.repository,
        "revision": pushed.revision,
        "setting": f"model: hf://{pushed}",
    }
    print_result("pushed", facts, as_json=as_json)


def _facts(found: Inventory) -> dict[str, Any]:
    totals = {name: found.total(name) for name in ("parameters", *_MEMORIES)}
    facts = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return {
        **facts,
        "parts": [dataclasses.asdict(part) for part in found.parts],
        "options": dict(found.options),
        "card": None if found.card is None else dataclasses.asdict(found.card),
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
    from pigeon_rec.model.paths import model_name

    layout = "in the published layout" if found.published else _LAYOUTS[found.kind]
    facts: dict[str, Any] = {
        "folder": found.folder,
        "hub": found.hub,
        "version": found.version,
        "layout": layout,
        "complete": _yes(found.complete),
    }
    if found.image_size is not None:
        facts["side of its pictures"] = f"{found.image_size} pixels"
    if found.options:
        options = (f"{name}: {value!r}" for name, value in found.options.items())
        facts["options and defaults"] = ", ".join(options)
    facts["same bytes in any batch"] = "on a CPU; on an accelerator the last bit may differ"
    facts["problem"] = found.problem
    if found.card is not None:
        facts |= {
            "license": found.card.license,
            "base model": found.card.base_model,
            "trained on": "; ".join(found.card.trained_on),
        }
    shown = {name: value for name, value in facts.items() if value}
    print_summary(f"model {model_name(found.folder)}", shown)
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
