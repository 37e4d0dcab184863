"""Catalogue data of the items on a page: titles, styles and original pictures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.nightly.report.gallery import Picture
from pigeon_rec.runtime.html import encode_picture

__all__ = ["CatalogueItems"]

_PIXELS = 64


class CatalogueItems:
    """Titles, styles and pictures of the items on one page.

    An item that is no longer in the catalogue is shown by its id, without a picture.
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
