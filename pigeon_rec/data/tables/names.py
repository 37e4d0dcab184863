"""Finds which columns of a foreign table hold what."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pigeon_rec.columns import TableColumns
from pigeon_rec.data.tables.source import Table
from pigeon_rec.data.tables.words import listed
from pigeon_rec.errors import PigeonError

__all__ = ["find_columns"]

_USUAL: Mapping[str, str] = MappingProxyType(
    {
        "id": (
            "item_id id sku product_id article_id movie_id asin gtin ean book_id video_id "
            "track_id content_id itemid item"
        ),
        "title": (
            "title name item_name product_name product_title movie_title item_title prod_name "
            "book_title label product article movie book"
        ),
        "text": (
            "semantics description text caption summary overview detail_desc "
            "short_description about plot abstract keywords tags"
        ),
        "category": (
            "category item_category product_category product_type type kind department class "
            "categories genre genres"
        ),
        "image": (
            "image_uri image image_path image_file image_url image_link img picture photo "
            "cover poster thumbnail file_name filename file path url"
        ),
        "user": (
            "user_id user customer_id customer visitor_id member_id account_id session_id uid "
            "reviewer_id"
        ),
        "item": (
            "item_id item product_id sku article_id movie_id asin book_id video_id track_id "
            "content_id id"
        ),
        "time": (
            "timestamp time datetime event_time created_at date ts purchase_date t_dat at "
            "unix_review_time day"
        ),
        "rating": ("rating stars overall rate"),
        "asset": ("asset_key asset picture_key image_key picture"),
        "arm": ("arm variant treatment bucket test_group experiment_arm group"),
        "propensity": ("propensity propensity_score probability prob action_prob"),
        "clicked": ("clicked click is_click was_clicked has_clicked clicks"),
        "taste": "taste",
        "cohort": "cohort",
        "score": ("score prediction predicted relevance weight rating"),
    }
)
"""What a column holds -> its usual names, the most telling first."""

_REMEDY: Final = "Name it: --WHAT COLUMN, or `WHAT:` under `columns:` in the YAML file"
_TIME: Final = re.compile(r"(?:[ _-](?i:at|on|time|date|timestamp)|(?<=[a-z])(?:At|Time|Date))$")


def find_columns(
    table: Table,
    columns: TableColumns,
    required: tuple[str, ...],
    optional: tuple[str, ...],
    error: type[PigeonError],
    remedy: str = _REMEDY,
) -> dict[str, str]:
    """Finds the named columns, and others by their usual names in any case and spelling.

    Args:
        table: The table.
        columns: Names that are given; its attributes are what the columns hold.
        required: What must be found.
        optional: What may be missing.
        error: Type of the error.
        remedy: What to do about a missing column; `WHAT` stands for what it holds.

    Returns:
        What -> column name; missing optional ones are left out. No column is found twice.

    Raises:
        PigeonError: Of type `error`: a given column does not exist, or a required one is missing.
    """
    given = {what: getattr(columns, what) for what in (*required, *optional)}
    found = {what: _existing(name, table, error) for what, name in given.items() if name}
    plain = {_plain(name): name for name in reversed(list(table.columns))}
    for what in (*required, *optional):
        taken = set(found.values())
        usual_names = _USUAL[what].split()
        names = (each if each in table.columns else plain.get(_plain(each)) for each in usual_names)
        free = next((name for name in names if name and name not in taken), None)
        if free is None and what == "time":
            free = _only_time(name for name in table.columns if name not in taken)
        if what not in found and free is not None:
            found[what] = free
    for what in required:
        if what not in found:
            raise error(
                f"no column holds the {what}; the table has {listed(table.columns)}",
                location=table.location,
                remedy=remedy.replace("WHAT", what),
            )
    return found


def _existing(name: str, table: Table, error: type[PigeonError]) -> str:
    if name not in table.columns:
        raise error(
            f"there is no column {name!r}; the table has {listed(table.columns)}",
            location=table.location,
        )
    return name


def _only_time(names: Iterable[str]) -> str | None:
    """The column whose name ends like that of a time, such as `clickedAt`, if there is just one."""
    times = [name for name in names if _TIME.search(name)]
    return times[0] if len(times) == 1 else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
