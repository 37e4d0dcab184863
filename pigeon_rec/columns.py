"""How a team's own tables and pictures are read, so that those need not be converted first."""

from __future__ import annotations

import zoneinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pigeon_rec.runtime.settings import LocalPath, Settings

__all__ = [
    "WHITE",
    "ColumnsConfig",
    "ExposureColumns",
    "ImagesConfig",
    "InteractionColumns",
    "ItemColumns",
    "RecommendationColumns",
    "TableColumns",
]

WHITE = "#ffffff"


def _time_zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; write it as Europe/Berlin") from error
    return name


class TableColumns(Settings):
    """How one table is read; a column that is not named is found by its usual names.

    Attributes:
        names: Columns of a text file that has no header line, in their order.
        separator: Between the fields of a text file; null finds it from the first lines.
        database: DuckDB file that the table is read from. The setting that else holds the path of
            the table then holds a query (`SELECT ...`).
    """

    names: tuple[str, ...] = ()
    separator: Annotated[str, Field(min_length=1, max_length=4)] | None = None
    database: LocalPath | None = None


class ItemColumns(TableColumns):
    """Columns of the items.

    Attributes:
        id: Id of the item.
        title: Its name; without such a column the id is used.
        text: What its picture is to show, in a few words; without such a column the title is used.
        category: Kind of item.
        image: Path or address of the picture, or the encoded picture itself. Without such a column
            the picture is the file that is named by the id.
        keep: Further columns to keep, such as the taste of a scenario.
    """

    id: str | None = None
    title: str | None = None
    text: str | None = None
    category: str | None = None
    image: str | None = None
    keep: tuple[str, ...] = ()


class InteractionColumns(TableColumns):
    """Columns of the interactions.

    Attributes:
        user: Id of the user.
        item: Id of the item.
        time: Date, date-time or number.
        rating: Number; optional.
        min_rating: Lowest rating that counts as an interaction; null keeps all.
        time_unit: Unit of numbers since 1970; null finds it from their size.
        time_zone: Zone of times that do not name one.
        time_format: Format of times that are not in ISO 8601, as `%d.%m.%Y %H:%M`.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    min_rating: Annotated[float, Field(allow_inf_nan=False)] | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    time_format: Annotated[str, Field(min_length=2)] | None = None


class RecommendationColumns(TableColumns):
    """Columns of the recommendations.

    Attributes:
        user: Id of the user.
        item: Id of the item.
        score: Number; higher is better.
    """

    user: str | None = None
    item: str | None = None
    score: str | None = None


class ExposureColumns(TableColumns):
    """Columns of the exposures: what users were shown, and whether they clicked.

    Attributes:
        user: Id of the user.
        item: Id of the item.
        asset: `asset_key` of the picture; empty or `original` for the catalogue's own picture.
        arm: Arm of the experiment that the user was in.
        propensity: Probability of that arm, above 0 and at most 1.
        time: Date, date-time or number: when it was shown.
        clicked: Whether the user clicked: true or false, yes or no, 1 or 0.
        taste: The user's taste before the experiment; optional, else from the served pictures.
        cohort: The user's cohort before the experiment; optional, else from the nights.
        arms: The arms that there are; rows of others are left out. `original` is the arm of the
            catalogue's own pictures.
        time_unit: Unit of numbers since 1970; null finds it from their size.
        time_zone: Zone of times that do not name one.
        time_format: Format of times that are not in ISO 8601, as `%d.%m.%Y %H:%M`.
    """

    user: str | None = None
    item: str | None = None
    asset: str | None = None
    arm: str | None = None
    propensity: str | None = None
    time: str | None = None
    clicked: str | None = None
    taste: str | None = None
    cohort: str | None = None
    arms: Annotated[tuple[str, ...], Field(min_length=1)] = ("personalised", "original")
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    time_format: Annotated[str, Field(min_length=2)] | None = None


class ColumnsConfig(Settings):
    """Columns of the three tables of a night.

    Attributes:
        items: Of `catalogue`.
        interactions: Of `interactions`.
        recommendations: Of `recommendations`.
    """

    items: ItemColumns = ItemColumns()
    interactions: InteractionColumns = InteractionColumns()
    recommendations: RecommendationColumns = RecommendationColumns()


class ImagesConfig(Settings):
    """Where the pictures of the items are, and how they are read.

    Attributes:
        folder: Folder that the paths of pictures start from, and that all of them lie in; null is
            the folder of the catalogue.
        remote: Whether pictures are read from addresses (`s3://bucket/boat.png`, `https://...`).
        background: Colour that transparent pictures are composed on, as `#rrggbb`.
    """

    folder: LocalPath | None = None
    remote: bool = False
    background: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")] = WHITE
