"""`pigeon-rec models ...`: the registry of trained models."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson, Config, WorkDir
from pigeon_rec._cli.output import as_table, print_json, print_result
from pigeon_rec.errors import WarehouseError

if TYPE_CHECKING:
    from pigeon_rec.warehouse.models import RegisteredModel

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="The model registry: list, register and promote trained models.",
)

Version = Annotated[
    str, typer.Argument(metavar="VERSION", help="A version from `pigeon-rec models list`.")
]
AnyVersion = Annotated[
    str | None,
    typer.Argument(metavar="[VERSION]", help="A version; default: the serving model."),
]
DespiteRefusal = Annotated[
    bool,
    typer.Option("--despite-refusal", help="Promote a model that failed the promotion check."),
]

_COLUMNS = ("version", "decision", "serving", "created_at", "promoted_at", "reason")


@app.command("list")
def list_all(config: Config = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """List all models, the newest first."""
    from pigeon_rec.warehouse.models import list_models

    _, registry = _places(config, work_dir)
    models = list_models(registry)
    if as_json:
        print_json({"models": [dataclasses.asdict(model) for model in models]})
    else:
        rows = [[_cell(getattr(model, name)) for name in _COLUMNS] for model in models]
        print(as_table(_COLUMNS, rows))


@app.command()
def show(
    version: AnyVersion = None,
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the registry's record of one model."""
    _, registry = _places(config, work_dir)
    _print(_found(registry, version), as_json=as_json)


@app.command()
def register(
    model: Annotated[
        str, typer.Argument(metavar="NAME|DIR", help="Bundled model, or folder of a model.")
    ],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Note for the registry.")
    ] = "registered by hand",
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Register a model that was not trained by an alignment, so that it can be promoted."""
    from pigeon_rec.drawing.models import register_by_hand

    folder, _ = _places(config, work_dir)
    _print(register_by_hand(model, folder, reason), as_json=as_json)


@app.command()
def promote(
    version: Version,
    config: Config = None,
    work_dir: WorkDir = None,
    despite_refusal: DespiteRefusal = False,
    as_json: AsJson = False,
) -> None:
    """Make this version, newer or older, the serving model of nights with `model: serving`."""
    from pigeon_rec.warehouse import open_warehouse
    from pigeon_rec.warehouse.models import promote_model

    folder, registry = _places(config, work_dir)
    _found(registry, version)  # raises first, because opening would create a missing warehouse
    with open_warehouse(registry) as warehouse:
        model = promote_model(warehouse, version, folder, despite_refusal=despite_refusal)
    _print(model, as_json=as_json)


def _places(config: Path | None, work_dir: Path | None) -> tuple[Path, Path]:
    """The work directory, and the warehouse that holds the registry."""
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.runtime.work_dir import warehouse_file

    settings = night_settings(config, work_dir)
    return settings.work_dir, warehouse_file(settings.work_dir)


def _found(registry: Path, version: str | None) -> RegisteredModel:
    from pigeon_rec.warehouse.models import find_model, list_models, serving_model

    model = serving_model(registry) if version is None else find_model(registry, version)
    if model is None:
        known = ", ".join(model.version for model in list_models(registry)) or "none"
        raise WarehouseError(
            "no model has been promoted" if version is None else f"there is no model {version!r}",
            location=str(registry),
            remedy=f"Registered models: {known}",
        )
    return model


def _print(model: RegisteredModel, *, as_json: bool) -> None:
    facts: dict[str, Any] = dataclasses.asdict(model)
    print_result(f"model {model.version}", facts, as_json=as_json)


def _cell(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    return ("yes" if value else "") if isinstance(value, bool) else value
