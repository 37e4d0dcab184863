"""Image encoders that pictures are compared with: similarity is the cosine of two vectors.

`cis` uses the scorer, as the paper's CIS does; the scorer also chooses among candidates, so this
metric is biased upwards. `jis` uses all judges. The extra `eval` adds further encoders.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.evaluation.judges import Judges

__all__ = ["Encoder", "JudgeEncoder"]

Images = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Maps pictures to unit vectors."""

    def __call__(self, images: Images, /) -> Vectors:
        """uint8 `[n, H, W, 3]` -> unit vectors float32 `[n, d]`."""


class JudgeEncoder:
    """Concatenates the judges' embeddings: the cosine is the mean of theirs."""

    def __init__(self, judges: Judges) -> None:
        self._judges = list(judges.by_kind().values())

    def __call__(self, images: Images, /) -> Vectors:
        parts = [judge.embed(images) for judge in self._judges]
        return np.concatenate(parts, axis=1) / np.sqrt(np.float32(len(parts)))
