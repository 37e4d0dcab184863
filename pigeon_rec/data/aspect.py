"""Aspect ratio of a scenario's pictures, and how they are fitted into a model's squares.

The visual tokenizer reads squares only (224x224 in the published model). A picture of another
aspect ratio is stretched into the square when it is read, and back after it has been drawn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["SQUARE", "Aspect"]


@dataclass(frozen=True)
class Aspect:
    """Aspect ratio in whole numbers; 2:3 for film posters.

    Raises:
        ValueError: A side is not between 1 and 100, or more than four times the other.
    """

    width: int = 1
    height: int = 1

    def __post_init__(self) -> None:
        sides = (self.width, self.height)
        if min(sides) < 1 or max(sides) > 100 or max(sides) > 4 * min(sides):
            raise ValueError(
                f"aspect ratio {self} needs sides from 1 to 100, none over four times the other"
            )

    def __str__(self) -> str:
        return f"{self.width}:{self.height}"

    @classmethod
    def parse(cls, text: str) -> Aspect:
        """Reads `width:height`, for example `2:3`.

        Raises:
            ValueError: The text has another form, or its numbers are out of range.
        """
        found = re.fullmatch(r"(\d{1,3}):(\d{1,3})", text)
        if found is None:
            raise ValueError(f"{text!r} is not width:height, for example 2:3")
        return cls(int(found[1]), int(found[2]))

    @property
    def is_square(self) -> bool:
        """Whether width and height are equal."""
        return self.width == self.height

    def size(self, side: int) -> tuple[int, int]:
        """Height and width in pixels; the shorter one is `side`, so that no drawn pixel is lost."""
        short = min(self.width, self.height)
        return round(side * self.height / short), round(side * self.width / short)

    def from_square(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Stretches a drawn square back: uint8 `[side, side, 3]` -> `[*self.size(side), 3]`."""
        if self.is_square:
            return image
        height, width = self.size(image.shape[0])
        stretched = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(stretched, dtype=np.uint8)


SQUARE = Aspect()
