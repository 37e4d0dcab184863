"""Aspect ratios: parsing, limits, and stretching."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pigeon_rec.data.aspect import SQUARE, Aspect

POSTER = Aspect(2, 3)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(SQUARE, (64, 64)), (POSTER, (96, 64)), (Aspect(3, 2), (64, 96)), (Aspect(4, 4), (64, 64))],
)
def test_the_shorter_side_has_the_given_size(aspect: Aspect, size: tuple[int, int]) -> None:
    assert aspect.size(64) == size


@given(st.integers(1, 100), st.integers(1, 100))
def test_text_is_parsed_back(width: int, height: int) -> None:
    if max(width, height) > 4 * min(width, height):
        with pytest.raises(ValueError, match=f"{width}:{height}"):
            Aspect(width, height)
        return
    aspect = Aspect(width, height)
    assert Aspect.parse(str(aspect)) == aspect


@pytest.mark.parametrize(
    "text", ["", "2/3", "2:3:4", "0:1", "1:5", "-2:3", "2:1000", " 2:3", "a:b"]
)
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"width:height|aspect ratio"):
        Aspect.parse(text)


def test_a_square_is_unchanged() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert SQUARE.from_square(image) is image


def test_a_circle_squeezed_into_the_square_is_round_again() -> None:
    poster = Image.new("RGB", (256, 384), "white")
    ImageDraw.Draw(poster).ellipse((28, 92, 228, 292), fill="black")
    square = np.asarray(poster.resize((64, 64), Image.Resampling.LANCZOS))
    shown = POSTER.from_square(square)
    assert shown.shape == (96, 64, 3)
    ink = shown[..., 0] < 128
    wide, high = ink.any(0).sum(), ink.any(1).sum()
    assert (wide, high) == (pytest.approx(50, abs=1), pytest.approx(50, abs=1))
    squeezed = square[..., 0] < 128
    assert squeezed.any(1).sum() == pytest.approx(33, abs=1)
