"""Made looks and degradations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon_rec.training.looks import LOOKS, degraded, made_look
from tests.model.tiny import pictures, seeded

NUMBERS = st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=8, max_size=8)


def _pixels(count: int = 6) -> torch.Tensor:
    return torch.from_numpy(pictures(count)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


@given(names=st.lists(st.sampled_from(sorted(LOOKS)), min_size=1, max_size=2), numbers=NUMBERS)
@settings(max_examples=60, deadline=None)
def test_a_look_keeps_range_shape_and_white(names: list[str], numbers: list[float]) -> None:
    pixels = _pixels(2)
    pixels[1] = 1.0
    looked = made_look(pixels, names, numbers)
    assert looked.shape == pixels.shape
    assert -1.0 <= float(looked.min()) <= float(looked.max()) <= 1.0
    assert torch.allclose(looked[1], torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_a_look_changes_pictures_each_on_its_own(name: str) -> None:
    pixels, numbers = _pixels(), [0.3] * 8
    looked = made_look(pixels, [name], numbers)
    assert float((looked - pixels).abs().mean()) > 0.01
    assert torch.allclose(looked[2:3], made_look(pixels[2:3], [name], numbers), atol=1e-6)


def test_the_share_of_degraded_pictures_is_as_asked() -> None:
    pixels = _pixels(64)
    with seeded():
        assert torch.equal(degraded(pixels, 0.0), pixels)
        half = degraded(pixels, 0.5)
    touched = (half != pixels).flatten(1).any(1)
    assert 16 <= int(touched.sum()) <= 40
    assert -1.0 <= float(half.min()) <= float(half.max()) <= 1.0


def test_a_degraded_picture_is_still_that_picture() -> None:
    flat = torch.nn.functional.interpolate(torch.rand(32, 3, 4, 4) * 2 - 1, scale_factor=8)
    with seeded():
        worse = degraded(flat, 1.0)
    assert float((worse - flat).abs().mean()) < 0.15
