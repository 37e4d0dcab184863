"""What a page shows of catalogue items: titles, labels and their own pictures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.runtime.html import encode_picture

__all__ = ["ShownItems"]

_PIXELS = 64


class ShownItems:
    """Titles, labels and pictures of the items on one page.

    An item that is no longer in the catalogue is shown by its id, without a picture.

    Args:
        catalogue: Source of texts and pictures.
        item_ids: The items; ids may repeat or be unknown.
        label: Catalogue column that tells items of one title apart, such as `style`; None for none.
    """

    def __init__(
        self, catalogue: Catalogue, item_ids: Iterable[str], label: str | None = None
    ) -> None:
        wanted = sorted(set(item_ids))
        known = [wanted[place] for place in np.flatnonzero(catalogue.code_of(wanted) >= 0)]
        rows = catalogue.rows(known)
        self._titles = dict(zip(known, rows["title"], strict=True))
        self._labels: dict[str, str] = {}
        if label in rows.columns:
            texts = rows[label].fill_null("").str.replace_all("|", ", ", literal=True)
            self._labels = dict(zip(known, texts, strict=True))
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

    def label(self, item_id: str) -> str:
        """Returns the label of the item; empty if it has none."""
        return self._labels.get(item_id, "")

    def name(self, item_id: str) -> str:
        """Returns the title of the item with its label, if it has one."""
        label = self.label(item_id)
        return f"{self.title(item_id)} ({label})" if label else self.title(item_id)

    def uri(self, item_id: str) -> str | None:
        """Returns its own picture as a data URI; None if it cannot be used."""
        return self._uris.get(item_id)
