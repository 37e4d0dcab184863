"""The items of some requests: each picture is read and embedded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.drawing.request import Request
from pigeon_rec.scoring.scorer import Scorer

__all__ = ["ItemTable"]


class ItemTable:
    """Pictures and embeddings of catalogue items, one row each; repeated ids share a row.

    Args:
        catalogue: Source of the pictures.
        item_ids: Ids that requests name.
        side: Side of the squares in pixels.
        scorer: Embeds the pictures.

    Attributes:
        catalogue: Source of the pictures.
        images: uint8 `[n, side, side, 3]`, squares as model and scorer see them; white where a
            picture cannot be used.
        broken: Item id -> what is wrong with its picture, or that the catalogue has it no more.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        item_ids: Iterable[str],
        side: int,
        scorer: Scorer,
    ) -> None:
        wanted = sorted(set(item_ids))
        codes = catalogue.code_of(wanted)
        unique = [item_id for item_id, code in zip(wanted, codes, strict=True) if code >= 0]
        self._row = {item_id: row for row, item_id in enumerate(unique)}
        self.catalogue, self._scorer = catalogue, scorer
        self.images, problems = catalogue.images(unique, size=side)
        gone = dict.fromkeys(set(wanted) - set(unique), "the item is not in the catalogue")
        self.broken = gone | {problem.subject: problem.message for problem in problems}

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Rows of items in the arrays, int64 `[n]`."""
        return np.array([self._row[item_id] for item_id in item_ids], dtype=np.int64)

    def fault(self, request: Request) -> str | None:
        """What is wrong with the first unusable picture of a request; None if all are usable."""
        return next((f"{i}: {self.broken[i]}" for i in request.items if i in self.broken), None)

    @cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """The scorer's unit vectors float32 `[n, d]`."""
        return self._scorer.encode_images(self.images)
