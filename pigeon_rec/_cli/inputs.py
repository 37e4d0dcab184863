"""`pigeon-rec init` and `pigeon-rec check`: from a team's own tables to a first night."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pigeon_rec._cli.options import AsJson, Date, Quiet, WorkDir
from pigeon_rec._cli.output import print_line, print_result

if TYPE_CHECKING:
    from pigeon_rec.inputs.check import InputCheck

__all__ = ["check", "init"]

_SHOWN: Final = {"columns", "notes", "rows", "items", "kept", "duplicates", "low_rated"}

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder to write night.yaml to; made if needed.")
]
NightFile = Annotated[Path, typer.Argument(metavar="FILE", help="The night.yaml to check.")]
Items = Annotated[
    Path | None,
    typer.Option(
        "--items", metavar="FILE", help="Table of items, or a folder of pictures (default: in DIR)."
    ),
]
Interactions = Annotated[
    Path | None,
    typer.Option("--interactions", metavar="FILE", help="Table of interactions (default: in DIR)."),
]
Recommendations = Annotated[
    Path | None,
    typer.Option(
        "--recommendations", metavar="FILE", help="Your recommender's top-K (default: train one)."
    ),
]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Folder that the paths of pictures start from."),
]
Scenario = Annotated[
    str, typer.Option("--scenario", help="Words around the pictures: a name or a YAML file.")
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="COLUMN",
        help="Column of the items whose equal values show the same thing.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="TABLE.WHAT=COLUMN",
        help="Column that is not found, as interactions.time=clicked; may be repeated.",
    ),
]


def init(
    folder: Folder,
    items: Items = None,
    interactions: Interactions = None,
    recommendations: Recommendations = None,
    images: Images = None,
    scenario: Scenario = "sticker",
    group_by: GroupBy = None,
    columns: Columns = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented night.yaml for your own tables, and check them."""
    from pigeon_rec.inputs.starter import find_tables, parse_columns, write_night

    tables = find_tables(folder, items, interactions, recommendations, images)
    path = write_night(folder, tables, scenario, group_by, parse_columns(columns or []))
    if not (as_json or quiet):
        print_line(f"wrote {path}")
        print()
    _check(path, None, None, as_json=as_json, quiet=quiet)


def check(
    file: NightFile,
    date: Date = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check a night's tables, pictures and quality gate, and say what to do next."""
    _check(file, date, work_dir, as_json=as_json, quiet=quiet)


def _check(
    file: Path, date: str | None, work_dir: Path | None, *, as_json: bool, quiet: bool
) -> None:
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.inputs.check import check_inputs
    from pigeon_rec.nightly.paths import NightPaths, end_of_day
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.runtime.airflow_step import parse_date
    from pigeon_rec.runtime.lock import hold

    settings = night_settings(file, work_dir)
    night = dt.datetime.now(dt.UTC).date() if date is None else parse_date(date)
    progress = choose_progress(quiet=quiet or as_json)
    # It writes what a running night reads: imported tables and the gate's calibration.
    with hold(NightPaths.of(settings, night), "check"):
        found = check_inputs(settings, end_of_day(night), progress=progress)
    facts = found.as_json()
    if as_json:
        print_result(f"checked {file}", facts, as_json=True)
    elif not quiet:
        _print_check(file, found, facts)
    if any(finding.level == "error" for finding in found.findings):
        raise typer.Exit(3)


def _print_check(file: Path, found: InputCheck, facts: dict[str, Any]) -> None:
    for name, facts_of_import in facts.pop("imports").items():
        _print_import(name, facts_of_import)
    findings, gate, estimate = (facts.pop(name) for name in ("findings", "gate", "estimate"))
    print_result(f"checked {file}", _joined(facts), as_json=False)
    if gate is not None:
        print_result("quality gate", gate, as_json=False)
    print_result(
        f"estimate of a night that reuses nothing ({_basis(found)})", estimate, as_json=False
    )
    for each in findings:
        print()
        print_line(f"{each['level']}: {each['finding']}")
        print_line(f"  {each['advice']}")
    print()
    if any(each["level"] == "error" for each in findings):
        print("Mend the errors, and check again.")
    else:
        last = "" if found.last is None else f" --date {found.last.date()}"
        print_line(f"Next: pigeon-rec nightly run --config {file}{last}")
        print_line(f"Then: pigeon-rec sql best_assets --config {file}")


def _basis(found: InputCheck) -> str:
    nights = found.estimate.measured_nights
    if not nights:
        return "one core of a usual processor, the bundled model"
    return f"as fast as {'the last night' if nights == 1 else f'the last {nights} nights'}"


def _print_import(name: str, facts: dict[str, Any]) -> None:
    """Prints the numbers of an import, and the first rows that it left out."""
    print_result(
        f"{name}: {facts['path']}",
        _joined({key: value for key, value in facts.items() if key in _SHOWN}),
        as_json=False,
    )
    for each in facts.get("first_problems", []):
        print_line(f"  left out: {each['location']}: {each['message']}")
    more = sum(facts.get("problems", {}).values()) - len(facts.get("first_problems", []))
    if more > 0:
        print_line(f"  left out: {more} more, listed in {facts['refused']}")
    for each in facts.get("faults", []):
        first = f"the first is row {each['first_row']} ({each['example']})"
        rows = f"{each['rows']} row{'s' * (each['rows'] != 1)}"
        print_line(f"  left out: {rows}: {each['reason']}; {first}")


def _joined(facts: dict[str, Any]) -> dict[str, Any]:
    def text(value: Any) -> Any:
        if isinstance(value, dict):
            return ", ".join(f"{key}: {part}" for key, part in value.items())
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value

    return {key: text(value) for key, value in facts.items()}
