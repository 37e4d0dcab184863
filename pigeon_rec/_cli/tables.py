"""`pigeon-rec import items|interactions|recommendations|exposures`: a team's own tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pigeon_rec._cli.options import AsJson, Config, Quiet, WorkDir
from pigeon_rec._cli.output import print_result
from pigeon_rec.errors import ConfigError

if TYPE_CHECKING:
    from pigeon_rec.data.import_interactions import PairImport
    from pigeon_rec.data.import_items import ItemImport
    from pigeon_rec.inputs.exposures import ExposureImport

__all__ = ["item_facts", "pair_facts", "register"]

_COLUMNS = "Columns (default: found by their usual names)"
_READING = "Reading"

Source = Annotated[
    str | None,
    typer.Argument(metavar="[FILE]", help="CSV, TSV, JSON lines, parquet or RecBole atomic file."),
]
ItemSource = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE|FOLDER]",
        help="Table of the items, or a folder of pictures (file name = id).",
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")]
Query = Annotated[
    str | None,
    typer.Option("--query", metavar="SQL", help="Query of --database.", rich_help_panel=_READING),
]
Database = Annotated[
    Path | None,
    typer.Option(
        "--database", metavar="FILE", help="DuckDB file to query.", rich_help_panel=_READING
    ),
]
Names = Annotated[
    str | None,
    typer.Option(
        "--names",
        metavar="A,B,...",
        help="Columns of a text file without a header, in order.",
        rich_help_panel=_READING,
    ),
]
Separator = Annotated[
    str | None,
    typer.Option("--separator", help="Between fields (default: found).", rich_help_panel=_READING),
]


def _column(option: str, holds: str) -> Any:
    return typer.Option(option, metavar="COLUMN", help=holds, rich_help_panel=_COLUMNS)


Id = Annotated[str | None, _column("--id", "Id of the item.")]
Title = Annotated[str | None, _column("--title", "Its name.")]
Text = Annotated[str | None, _column("--text", "What its picture is to show.")]
Category = Annotated[str | None, _column("--category", "Kind of item.")]
Image = Annotated[str | None, _column("--image", "Path or address of its picture, or its bytes.")]
Keep = Annotated[
    str | None,
    typer.Option(
        "--keep",
        metavar="A,B,...",
        help="Further columns to keep, such as a taste.",
        rich_help_panel=_COLUMNS,
    ),
]
User = Annotated[str | None, _column("--user", "Id of the user.")]
Item = Annotated[str | None, _column("--item", "Id of the item.")]
Time = Annotated[str | None, _column("--time", "Date, date-time or number.")]
Rating = Annotated[str | None, _column("--rating", "Rating; optional.")]
Score = Annotated[str | None, _column("--score", "Score; higher is better.")]
Asset = Annotated[
    str | None, _column("--asset", "Asset key; empty or `original` for the item's own picture.")
]
Arm = Annotated[str | None, _column("--arm", "Arm of the experiment.")]
Propensity = Annotated[str | None, _column("--propensity", "Probability of that arm.")]
Clicked = Annotated[str | None, _column("--clicked", "Whether it was clicked.")]
Taste = Annotated[str | None, _column("--taste", "Taste of the user; optional.")]
Cohort = Annotated[str | None, _column("--cohort", "Cohort of the user; optional.")]
Arms = Annotated[str, typer.Option("--arms", metavar="A,B,...", help="The arms that there are.")]
Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Folder that the paths of pictures start from."),
]
Remote = Annotated[
    bool, typer.Option("--remote", help="Read pictures at addresses (s3://, gs://, https://).")
]
Background = Annotated[
    str, typer.Option("--background", metavar="#RRGGBB", help="Colour behind transparent pictures.")
]
MinRating = Annotated[
    float | None,
    typer.Option("--min-rating", help="Lowest rating that counts as an interaction."),
]
TimeUnit = Annotated[
    str | None,
    typer.Option(
        "--time-unit",
        help="Unit of numbers since 1970: s, ms, us or ns (default: found).",
        rich_help_panel=_READING,
    ),
]
TimeZone = Annotated[
    str,
    typer.Option(
        "--time-zone",
        metavar="ZONE",
        help="Zone of times that name none, such as Europe/Berlin.",
        rich_help_panel=_READING,
    ),
]
TimeFormat = Annotated[
    str | None,
    typer.Option(
        "--time-format",
        metavar="FORMAT",
        help="Format of times that are not ISO 8601, such as %d.%m.%Y.",
        rich_help_panel=_READING,
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands to `pigeon-rec import`."""
    app.command("items")(items)
    app.command("interactions")(interactions)
    app.command("recommendations")(recommendations)
    app.command("exposures")(exposures)


def items(
    out: Out,
    source: ItemSource = None,
    id_: Id = None,
    title: Title = None,
    text: Text = None,
    category: Category = None,
    image: Image = None,
    keep: Keep = None,
    images: Images = None,
    remote: Remote = False,
    background: Background = "#ffffff",
    query: Query = None,
    database: Database = None,
    names: Names = None,
    separator: Separator = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Import items: DIR/items.parquet from a table or from a folder of pictures."""
    from pigeon_rec._cli.bars import choose_progress
    from pigeon_rec.columns import ImagesConfig, ItemColumns
    from pigeon_rec.data.import_items import import_items
    from pigeon_rec.runtime.settings import check_settings

    columns = check_settings(
        ItemColumns,
        {
            **_reading(names, separator, database),
            "id": id_, "title": title, "text": text, "category": category, "image": image,
            "keep": _list(keep),
        },
        "the options",
    )  # fmt: skip
    pictures = {"folder": images, "remote": remote, "background": background.lower()}
    imported = import_items(
        _source(source, query, database),
        out,
        columns,
        check_settings(ImagesConfig, pictures, "the options"),
        progress=choose_progress(quiet=quiet or as_json),
    )
    facts = item_facts(imported)
    print_result(f"imported {source or database}", facts, as_json=as_json, quiet=quiet)


def interactions(
    out: Out,
    source: Source = None,
    user: User = None,
    item: Item = None,
    time: Time = None,
    rating: Rating = None,
    min_rating: MinRating = None,
    time_unit: TimeUnit = None,
    time_zone: TimeZone = "UTC",
    time_format: TimeFormat = None,
    query: Query = None,
    database: Database = None,
    names: Names = None,
    separator: Separator = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Import interactions: DIR/interactions.parquet."""
    from pigeon_rec.columns import InteractionColumns
    from pigeon_rec.data.import_interactions import import_interactions
    from pigeon_rec.runtime.settings import check_settings

    columns = check_settings(
        InteractionColumns,
        {
            **_reading(names, separator, database),
            "user": user, "item": item, "time": time, "rating": rating, "min_rating": min_rating,
            "time_unit": time_unit, "time_zone": time_zone, "time_format": time_format,
        },
        "the options",
    )  # fmt: skip
    given = _source(source, query, database)
    imported = import_interactions(given, out / "interactions.parquet", columns)
    facts = pair_facts(imported)
    print_result(f"imported {source or database}", facts, as_json=as_json, quiet=quiet)


def recommendations(
    out: Out,
    source: Source = None,
    user: User = None,
    item: Item = None,
    score: Score = None,
    query: Query = None,
    database: Database = None,
    names: Names = None,
    separator: Separator = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Import a recommender's top-K: DIR/recommendations.parquet."""
    from pigeon_rec.columns import RecommendationColumns
    from pigeon_rec.data.import_interactions import import_recommendations
    from pigeon_rec.runtime.settings import check_settings

    reading = _reading(names, separator, database)
    chosen = {**reading, "user": user, "item": item, "score": score}
    columns = check_settings(RecommendationColumns, chosen, "the options")
    given = _source(source, query, database)
    imported = import_recommendations(given, out / "recommendations.parquet", columns)
    facts = pair_facts(imported)
    print_result(f"imported {source or database}", facts, as_json=as_json, quiet=quiet)


def exposures(
    source: Source = None,
    user: User = None,
    item: Item = None,
    asset: Asset = None,
    arm: Arm = None,
    propensity: Propensity = None,
    time: Time = None,
    clicked: Clicked = None,
    taste: Taste = None,
    cohort: Cohort = None,
    arms: Arms = "personalised,original",
    time_unit: TimeUnit = None,
    time_zone: TimeZone = "UTC",
    time_format: TimeFormat = None,
    query: Query = None,
    database: Database = None,
    names: Names = None,
    separator: Separator = None,
    config: Config = None,
    work_dir: WorkDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Import what users were shown and clicked, into the exposures of a work directory."""
    from pigeon_rec.columns import ExposureColumns
    from pigeon_rec.inputs.exposures import import_exposures
    from pigeon_rec.nightly.steps import night_settings
    from pigeon_rec.runtime.settings import check_settings

    columns = check_settings(
        ExposureColumns,
        {
            **_reading(names, separator, database),
            "user": user, "item": item, "asset": asset, "arm": arm, "propensity": propensity,
            "time": time, "clicked": clicked, "taste": taste, "cohort": cohort, "arms": _list(arms),
            "time_unit": time_unit, "time_zone": time_zone, "time_format": time_format,
        },
        "the options",
    )  # fmt: skip
    given = _source(source, query, database)
    imported = import_exposures(given, night_settings(config, work_dir), columns)
    facts = _shown(_with_left_out(imported))
    print_result(f"imported {source or database}", facts, as_json=as_json, quiet=quiet)


def item_facts(imported: ItemImport) -> dict[str, Any]:
    """Returns what an import of items reports, for `print_result`."""
    return _shown(dataclasses.asdict(imported))


def pair_facts(imported: PairImport) -> dict[str, Any]:
    """Returns what an import of interactions or recommendations reports, for `print_result`."""
    facts = _with_left_out(imported)
    if imported.first is None:
        del facts["first"], facts["last"]
    return _shown(facts)


def _with_left_out(imported: PairImport | ExposureImport) -> dict[str, Any]:
    facts = dataclasses.asdict(imported)
    facts["left_out"] = list(facts.pop("faults"))
    return facts


def _source(source: str | None, query: str | None, database: Path | None) -> str:
    """The table or query; exactly one of both must be given."""
    if bool(source) == bool(query) or (query is None) != (database is None):
        raise ConfigError(
            "give either a file, or --query and --database",
            location="the options",
            remedy="For example: pigeon-rec import items items.csv --out data",
        )
    return source or query or ""


def _reading(names: str | None, separator: str | None, database: Path | None) -> dict[str, Any]:
    # A tab cannot be typed easily.
    plain = None if separator is None else separator.replace("\\t", "\t")
    return {"names": _list(names), "separator": plain, "database": database}


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _shown(facts: dict[str, Any]) -> dict[str, Any]:
    """Writes lists of words on one line; lists of records stay tables."""
    facts["notes"] = ", ".join(facts["notes"])
    facts["columns"] = ", ".join(f"{what}: {name}" for what, name in facts["columns"].items())
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()
    }
