"""`pigeon-rec warehouse ...`: whether the published tables are sound, and how they stay small."""

from __future__ import annotations

from typing import Annotated

import typer

from pigeon_rec._cli.options import AsJson, Config, WorkDir
from pigeon_rec._cli.output import as_table, print_json, print_summary

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Look after the published tables: check them, let old nights go, collect garbage.",
)

KeepDays = Annotated[
    int,
    typer.Option(
        "--keep-days", min=0, metavar="N", help="Nights this many days older than the newest stay."
    ),
]


@app.command()
def check(config: Config = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """Verify every hash and every reference; exit status 1 and a list where one does not hold."""
    import polars as pl

    from pigeon_rec.nightly.steps import night_settings, warehouse_files
    from pigeon_rec.warehouse import check_serving, check_warehouse

    warehouse, link = warehouse_files(night_settings(config, work_dir))
    faults = pl.concat([check_warehouse(warehouse), check_serving(link)])
    if as_json:
        print_json({"clean": faults.is_empty(), "faults": faults.to_dicts()})
    elif faults.height:
        print(as_table(faults.columns, faults.rows()))
        print(f"{faults.height} faults")
    else:
        print("clean")
    if faults.height:
        raise typer.Exit(1)


@app.command()
def info(config: Config = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """Tell how many nights, pictures and bytes there are, and where."""
    from pigeon_rec.nightly.steps import night_settings, warehouse_files
    from pigeon_rec.warehouse import warehouse_info

    facts = warehouse_info(*warehouse_files(night_settings(config, work_dir)))
    if as_json:
        print_json(facts)
    else:
        print_summary("warehouse", facts)


@app.command()
def retain(
    keep_days: KeepDays,
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove the nights that are older than the policy; readers notice with the next promotion."""
    from pigeon_rec.nightly.steps import night_settings, warehouse_files
    from pigeon_rec.warehouse import open_warehouse
    from pigeon_rec.warehouse import retain as drop_old

    warehouse, _ = warehouse_files(night_settings(config, work_dir))
    with open_warehouse(warehouse, create=False) as connection:
        kept = drop_old(connection, keep_days)
    _tell("retain", {"dropped": list(kept.dropped), "pictures": kept.pictures}, as_json=as_json)


@app.command()
def gc(config: Config = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """Remove picture files that nothing refers to, and free space inside the warehouse file."""
    import dataclasses

    from pigeon_rec.nightly.steps import night_settings, warehouse_files
    from pigeon_rec.warehouse import collect_garbage

    settings = night_settings(config, work_dir)
    collected = collect_garbage(*warehouse_files(settings), images=settings.warehouse.images)
    _tell("gc", dataclasses.asdict(collected), as_json=as_json)


def _tell(title: str, facts: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        print_summary(title, facts)
