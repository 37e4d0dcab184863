"""Output of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.data.aspect import SQUARE, Aspect

__all__ = ["PigeonOutput"]


@dataclass(frozen=True)
class PigeonOutput:
    """Candidates of a batch.

    Attributes:
        images: uint8 `[B, ratios, H, W, 3]`, squares as the model and the scorers use them.
        codes: int64 `[B, ratios, P]`, the visual tokens of each image.
        mask_ratios: The reference mask ratio of each candidate.
        aspect: The scenario's aspect ratio, for display.
    """

    images: NDArray[np.uint8]
    codes: NDArray[np.int64]
    mask_ratios: tuple[float, ...]
    aspect: Aspect = SQUARE

    def pictures(self) -> NDArray[np.uint8]:
        """Returns the images in their aspect ratio, uint8 `[B, ratios, height, width, 3]`."""
        flat = self.images.reshape(-1, *self.images.shape[2:])
        height, width = self.aspect.size(flat.shape[1])
        shown = np.zeros((len(flat), height, width, 3), dtype=np.uint8)
        for row, image in enumerate(flat):
            shown[row] = self.aspect.from_square(image)
        return shown.reshape(*self.images.shape[:2], height, width, 3)
