"""What pictures are compared with: every eye gives a vector, and likeness is a cosine.

`cis` sees through the scorer, as the paper's CIS does; it also chooses among candidates, so its
figures flatter. `jis` sees through both judges. Further eyes come from the extra `eval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import Catalogue
from pigeon_rec.evaluation.judges import Judges

__all__ = ["Eye", "ItemViews", "JudgeEye"]

Images = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Eye(Protocol):
    """Sees pictures as vectors; the cosine of two says how alike they are."""

    def __call__(self, images: Images, /) -> Vectors:
        """uint8 `[n, 64, 64, 3]` -> unit vectors float32 `[n, d]`."""


class JudgeEye:
    """Both judges' embeddings side by side: the cosine is the mean of style's and concept's."""

    def __init__(self, judges: Judges) -> None:
        self._judges = judges

    def __call__(self, images: Images, /) -> Vectors:
        parts = [self._judges.style.embed(images), self._judges.concept.embed(images)]
        return np.concatenate(parts, axis=1) / np.sqrt(np.float32(2.0))


class ItemViews:
    """Catalogue items as every eye sees them, each item seen once.

    Attributes:
        images: uint8 `[items, 64, 64, 3]`.
    """

    def __init__(
        self, catalogue: Catalogue, item_ids: Sequence[str], eyes: Mapping[str, Eye]
    ) -> None:
        unique = sorted(set(item_ids))
        self._place = {item: row for row, item in enumerate(unique)}
        self.images, _ = catalogue.images(unique, size=64)
        self._vectors = {name: eye(self.images) for name, eye in eyes.items()}

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Places of items in the arrays."""
        return np.array([self._place[item] for item in item_ids], dtype=np.int64)

    def vectors(self, eye: str) -> Vectors:
        """Unit vectors `[items, d]` of one eye."""
        return self._vectors[eye]
