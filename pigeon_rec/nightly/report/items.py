"""What the catalogue knows of the items on a page: titles, styles, original pictures, tastes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.nightly.report.gallery import Picture
from pigeon_rec.runtime.html import encode_picture

__all__ = ["Shelf", "tastes_of"]

_PIXELS = 64
_SEPARATOR = ", "  # between the genres of a film; MovieLens' own is a bar


class Shelf:
    """Titles, styles and pictures of the items that one page needs.

    An item that the catalogue no longer has goes by its id; a picture that cannot be used is
    missing, not blank.

    Args:
        catalogue: Where they come from.
        item_ids: All items that will be asked for; repeats and unknown ids are allowed.
    """

    def __init__(self, catalogue: Catalogue, item_ids: Iterable[str]) -> None:
        wanted = sorted(set(item_ids))
        known = [wanted[place] for place in np.flatnonzero(catalogue.code_of(wanted) >= 0)]
        rows = catalogue.rows(known)
        styles = rows["style"] if "style" in rows.columns else [None] * len(known)
        self._titles = dict(zip(known, rows["title"], strict=True))
        self._styles: dict[str, str | None] = dict(zip(known, styles, strict=True))
        self._uris = _data_uris(catalogue, known)

    def title(self, item_id: str) -> str:
        """Title of the item, or its id where it has none."""
        return self._titles.get(item_id) or item_id

    def style(self, item_id: str) -> str:
        """Style of the item; empty where the catalogue does not tell one."""
        return self._styles.get(item_id) or ""

    def original(self, item_id: str, *, label: str = "") -> Picture:
        """Picture of the item as the catalogue has it."""
        style = self.style(item_id)
        alt = f"{self.title(item_id)} ({style})" if style else self.title(item_id)
        return Picture(self._uris.get(item_id), alt, label)


def tastes_of(
    served: pl.DataFrame, catalogue: Catalogue, column: str = "style"
) -> Mapping[str, str]:
    """The style that leads each user's history; users without a known one are left out.

    Args:
        served: Columns `user_id, history_ids`.
        catalogue: Tells the style of an item; nobody has a taste where it has no styles.
        column: Where it tells that, or what else is a taste, such as the genres of a film, each of
            which counts.
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
        # An item stands in the history of several pictures, and counts once.
        .unique()
        .join(styles, on="item_id")
        .group_by("user_id", "style")
        .len()
        .sort("user_id", -pl.col("len").cast(pl.Int64), "style")
        .unique("user_id", keep="first", maintain_order=True)
    )
    return dict(leading.select("user_id", "style").iter_rows())


def _data_uris(catalogue: Catalogue, item_ids: list[str]) -> dict[str, str]:
    images, problems = catalogue.images(item_ids, catalogue.aspect.size(_PIXELS))
    broken = {problem.subject for problem in problems}
    return {
        item_id: encode_picture(image)
        for item_id, image in zip(item_ids, images, strict=True)
        if item_id not in broken
    }
