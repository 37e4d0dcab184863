"""`pigeon-rec warehouse ...`: checks and maintenance of the warehouse."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pigeon_rec._cli.options import AsJson, Config, WorkDir
from pigeon_rec._cli.output import as_table, print_json, print_result

if TYPE_CHECKING:
    from pigeon_rec.config import WarehouseConfig
    from pigeon_rec.warehouse.mirror import Mirror

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Check and maintain the warehouse of published assets.",
)

KeepDays = Annotated[
    int,
    typer.Option(
        "--keep-days",
        min=0,
        metavar="N",
        help="Keep nights up to this many days older than the newest (not counting future ones).",
    ),
]


@app.command()
def check(config: Config = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """Verify all hashes and references; list the faults and exit with status 1 if there are any."""
    import polars as pl

    from pigeon_rec.warehouse import check_serving, check_warehouse

    warehouse, link, _ = _places(config, work_dir)
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
    """Show the number of nights, assets and bytes, and where they are stored."""
    from pigeon_rec.warehouse import warehouse_info

    warehouse, link, _ = _places(config, work_dir)
    print_result("warehouse", warehouse_info(warehouse, link), as_json=as_json)


@app.command()
def retain(
    keep_days: KeepDays,
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove old nights and exposures. Readers see the change after the next `nightly promote`."""
    from pigeon_rec.warehouse import open_warehouse, retain_exposures
    from pigeon_rec.warehouse import retain as drop_old
    from pigeon_rec.warehouse.feedback import feedback_beside
    from pigeon_rec.warehouse.mirror import clean_mirrors

    warehouse, _, settings = _places(config, work_dir)
    with open_warehouse(warehouse, create=False) as connection:
        kept = drop_old(connection, keep_days)
        exposures = retain_exposures(feedback_beside(warehouse), connection, keep_days)
        mirrored = clean_mirrors(connection, _mirror(settings))
    facts = {
        "dropped": list(kept.dropped),
        "pictures": kept.pictures,
        "exposures": exposures,
        "mirrored": mirrored,
    }
    print_result("retain", facts, as_json=as_json)


@app.command("drop-night")
def drop_night(
    date: Annotated[str, typer.Argument(metavar="DATE", help="Logical date, YYYY-MM-DD.")],
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove one night. Readers see the change after the next `nightly promote`."""
    from pigeon_rec import warehouse
    from pigeon_rec.runtime.airflow_step import parse_date

    night = parse_date(date)
    with warehouse.open_warehouse(_places(config, work_dir)[0], create=False) as connection:
        removed = warehouse.drop_night(connection, night)
    facts = {"dropped": list(removed.dropped), "pictures": removed.pictures}
    print_result("drop-night", facts, as_json=as_json)
    if not as_json:
        print("Run `pigeon-rec nightly promote` to make it visible to readers")


@app.command()
def mark(config: Config = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """Mark stored pictures as `warehouse.marking` asks. Readers see it after `nightly promote`."""
    from pigeon_rec.errors import ConfigError
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.warehouse import open_warehouse
    from pigeon_rec.warehouse.marking import mark_stored, marker_of

    marker = marker_of(night_settings(config, work_dir).warehouse)
    if marker is None:
        raise ConfigError("no marking is set", remedy="Set warehouse.marking in the settings")
    with open_warehouse(_places(config, work_dir)[0], create=False) as connection:
        facts = {"marked": mark_stored(connection, marker)}
    print_result("mark", facts, as_json=as_json)


@app.command()
def gc(config: Config = None, work_dir: WorkDir = None, as_json: AsJson = False) -> None:
    """Remove unreferenced image files, clean mirrors, free space inside the warehouse file."""
    from pigeon_rec.warehouse import collect_garbage

    warehouse, link, settings = _places(config, work_dir)
    collected = collect_garbage(warehouse, link, images=settings.images, mirror=_mirror(settings))
    print_result("gc", dataclasses.asdict(collected), as_json=as_json)


def _mirror(settings: WarehouseConfig) -> Mirror | None:
    from pigeon_rec.warehouse.mirror import mirror_of

    return mirror_of(settings)


def _places(config: Path | None, work_dir: Path | None) -> tuple[Path, Path, WarehouseConfig]:
    """Returns the warehouse, the serving link and the settings of the group `warehouse`."""
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.runtime.work_dir import serving_file, warehouse_file

    settings = night_settings(config, work_dir)
    folder = settings.work_dir
    return warehouse_file(folder), serving_file(folder), settings.warehouse
