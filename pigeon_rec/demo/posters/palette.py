"""Colours of a style: one palette for each mood of a film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pigeon_rec.demo.posters.canvas import Colour
from pigeon_rec.demo.posters.shapes import Role

__all__ = ["BLACK", "WHITE", "Palette", "colour"]


def colour(code: str) -> Colour:
    """A colour from six hexadecimal digits."""
    return np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)], dtype=np.float32) / 255


BLACK: Final = colour("000000")
WHITE: Final = colour("ffffff")


@dataclass(frozen=True)
class Palette:
    """The colours of one poster: the ground, the roles of the layers, and the letters."""

    ground: Colour
    sky: Colour
    far: Colour
    near: Colour
    main: Colour
    second: Colour
    light: Colour
    dark: Colour
    ink: Colour

    @classmethod
    def parse(cls, codes: str) -> Palette:
        """Reads nine colours in the order of the attributes, as six digits each."""
        return cls(*(colour(code) for code in codes.split()))

    def __getitem__(self, role: Role) -> Colour:
        found: Colour = getattr(self, role)
        return found
