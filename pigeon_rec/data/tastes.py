"""Tastes of users: the value of a catalogue column that is most frequent in their history."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pigeon_rec.data.catalogue import Catalogue

__all__ = ["item_values", "tastes_of"]

_BAR, _COMMA = "|", ", "


def item_values(
    catalogue: Catalogue, column: str | None, separator: str | None = None
) -> pl.DataFrame:
    """Returns `item_id, value`: a row for each value of each item, without empty ones.

    Args:
        catalogue: Source of the values; without the column there are none.
        column: Catalogue column; None for none.
        separator: What stands between several values of an item; empty if an item has one value.
            None is a bar (`Comedy|Drama`) where the column has any, and else a comma with a space
            (`Comedy, Drama`).
    """
    if column is None or column not in catalogue.items.columns:
        return pl.DataFrame(schema={"item_id": pl.String(), "value": pl.String()})
    values = catalogue.items.select("item_id", catalogue.items[column].alias("value")).drop_nulls()
    if separator is None:
        has_bars = values["value"].str.contains(_BAR, literal=True).any()
        separator = _BAR if has_bars else _COMMA
    if separator:
        values = values.with_columns(pl.col("value").str.split(separator)).explode("value")
    values = values.with_columns(pl.col("value").str.strip_chars()).filter(pl.col("value") != "")
    return values.unique(maintain_order=True)


def tastes_of(
    histories: pl.DataFrame,
    catalogue: Catalogue,
    column: str | None,
    separator: str | None = None,
) -> Mapping[str, str]:
    """Finds the most frequent value in each user's history; users without any are left out.

    Args:
        histories: Columns `user_id, history_ids`.
        catalogue: As in `item_values`.
        column: As in `item_values`.
        separator: As in `item_values`.
    """
    leading = (
        histories.select("user_id", pl.col("history_ids").alias("item_id"))
        .explode("item_id")
        # A user's histories overlap; each item counts once.
        .unique()
        .join(item_values(catalogue, column, separator), on="item_id")
        .group_by("user_id", "value")
        .len()
        .sort("user_id", -pl.col("len").cast(pl.Int64), "value")
        .unique("user_id", keep="first", maintain_order=True)
    )
    return dict(leading.select("user_id", "value").iter_rows())
