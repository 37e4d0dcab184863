"""`pigeon-rec init` and `pigeon-rec check`: from a team's own tables to a first night."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson, Date, Quiet, WorkDir
from pigeon_rec._cli.output import print_result

if TYPE_CHECKING:
    from pigeon_rec.inputs.check import InputCheck

__all__ = ["check", "init"]

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


def init(
    folder: Folder,
    items: Items = None,
    interactions: Interactions = None,
    recommendations: Recommendations = None,
    images: Images = None,
    scenario: Scenario = "sticker",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented night.yaml for your own tables, and check them."""
    from pigeon_rec.inputs.starter import find_tables, write_night

    tables = find_tables(folder, items, interactions, recommendations, images)
    path = write_night(folder, tables, scenario)
    if not (as_json or quiet):
        print(f"wrote {path}\n")
    _check(path, None, None, as_json=as_json, quiet=quiet)


def check(
    file: NightFile,
    date: Date = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check the tables and pictures of a night, and say what to do next."""
    _check(file, date, work_dir, as_json=as_json, quiet=quiet)


def _check(
    file: Path, date: str | None, work_dir: Path | None, *, as_json: bool, quiet: bool
) -> None:
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.inputs.check import check_inputs
    from pigeon_rec.nightly.paths import end_of_day
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.runtime.airflow_step import parse_date

    settings = night_settings(file, work_dir)
    night = dt.datetime.now(dt.UTC).date() if date is None else parse_date(date)
    progress = choose_progress(quiet=quiet or as_json)
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
        lines = {
            key: value
            for key, value in facts_of_import.items()
            if key in {"columns", "notes", "rows", "items", "kept", "duplicates", "low_rated"}
        }
        print_result(f"{name}: {facts_of_import['path']}", _joined(lines), as_json=False)
    findings = facts.pop("findings")
    print_result(f"checked {file}", _joined(facts), as_json=False)
    for each in findings:
        print(f"\n{each['level']}: {each['finding']}\n  {each['advice']}")
    errors = [each for each in findings if each["level"] == "error"]
    last = "" if found.last is None else f" --date {found.last.date()}"
    print(
        "\nMend the errors, and check again."
        if errors
        else f"\nNext: pigeon-rec nightly run --config {file}{last}"
    )


def _joined(facts: dict[str, Any]) -> dict[str, Any]:
    def text(value: Any) -> Any:
        if isinstance(value, dict):
            return ", ".join(f"{key}: {part}" for key, part in value.items())
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value

    return {key: text(value) for key, value in facts.items()}
