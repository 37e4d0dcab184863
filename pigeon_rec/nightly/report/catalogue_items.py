"""Catalogue data of the items on a page: titles, styles, original pictures and users' tastes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.nightly.report.gallery import Picture
from pigeon_rec.runtime.html import encode_picture

__all__ = ["CatalogueItems", "tastes_of"]

_PIXELS = 64
_SEPARATOR = ", "  # between the genres of a film; MovieLens uses a bar


class CatalogueItems:
    """Titles, styles and pictures of the items on one page.

    An item that is no longer in the catalogue is shown by its id, without a picture.

    Args:
        catalogue: Source of the items.
        item_ids: All items of the page; repeated and unknown ids are allowed.
    """

    def __init__(self, catalogue: Catalogue, item_ids: Iterable[str]) -> None:
        wanted = sorted(set(item_ids))
        known = [wanted[place] for place in np.flatnonzero(catalogue.code_of(wanted) >= 0)]
        rows = catalogue.rows(known)
        styles = rows["style"] if "style" in rows.columns else [None] * len(known)
        self._titles = dict(zip(known, rows["title"], strict=True))
        self._styles: dict[str, str | None] = dict(zip(known, styles, strict=True))
        images, problems = catalogue.images(known, catalogue.aspect.size(_PIXELS))
        broken = {problem.subject for problem in problems}
        self._uris = {
            item: encode_picture(image)
            for item, image in zip(known, images, strict=True)
            if item not in broken
        }

    def title(self, item_id: str) -> str:
        """Returns the title of the item, or its id if it has none."""
        return self._titles.get(item_id) or item_id

    def style(self, item_id: str) -> str:
        """Returns the style of the item; empty if the catalogue has none."""
        return self._styles.get(item_id) or ""

    def original(self, item_id: str, *, label: str = "") -> Picture:
        """Returns the catalogue's own picture of the item."""
        style = self.style(item_id)
        alt = f"{self.title(item_id)} ({style})" if style else self.title(item_id)
        return Picture(self._uris.get(item_id), alt, label)


def tastes_of(
    served: pl.DataFrame, catalogue: Catalogue, column: str = "style"
) -> Mapping[str, str]:
    """Finds the most frequent style in each user's history; users without any are left out.

    Args:
        served: Columns `user_id, history_ids`.
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
        served.select("user_id", pl.col("history_ids").alias("item_id"))
        .explode("item_id")
        # Histories of a user's assets overlap; each item counts once.
        .unique()
        .join(styles, on="item_id")
        .group_by("user_id", "style")
        .len()
        .sort("user_id", -pl.col("len").cast(pl.Int64), "style")
        .unique("user_id", keep="first", maintain_order=True)
    )
    return dict(leading.select("user_id", "style").iter_rows())
