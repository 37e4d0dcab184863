"""Tastes of users: the style, or genre, that is most frequent in their history."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pigeon_rec.data.catalogue import Catalogue

__all__ = ["tastes_of"]

_SEPARATOR = ", "  # between the genres of a film; MovieLens uses a bar


def tastes_of(
    histories: pl.DataFrame, catalogue: Catalogue, column: str = "style"
) -> Mapping[str, str]:
    """Finds the most frequent style in each user's history; users without any are left out.

    Args:
        histories: Columns `user_id, history_ids`.
        catalogue: Source of the styles; without the column nobody has a taste.
        column: Catalogue column of the style, or of another taste such as `genres`, where each
            genre of an item counts.
    """
    if column not in catalogue.items.columns:
        return {}
    styles = catalogue.items.select("item_id", pl.col(column).alias("style")).drop_nulls()
    if column == "genres":
        listed = pl.col("style").str.replace_all("|", _SEPARATOR, literal=True)
        styles = styles.with_columns(listed.str.split(_SEPARATOR)).explode("style")
        styles = styles.filter(pl.col("style") != "")
    leading = (
        histories.select("user_id", pl.col("history_ids").alias("item_id"))
        .explode("item_id")
        # A user's histories overlap; each item counts once.
        .unique()
        .join(styles, on="item_id")
        .group_by("user_id", "style")
        .len()
        .sort("user_id", -pl.col("len").cast(pl.Int64), "style")
        .unique("user_id", keep="first", maintain_order=True)
    )
    return dict(leading.select("user_id", "style").iter_rows())
