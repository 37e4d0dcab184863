"""Pixels and batches of one shape."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pigeon_rec.model.arrays import fixed_batches, to_pixels


def test_levels_run_from_minus_one_to_one_channels_first() -> None:
    image = np.zeros((1, 2, 3, 3), dtype=np.uint8)
    image[0, 1, 2] = [255, 51, 0]
    pixels = to_pixels(image)
    assert pixels.shape == (1, 3, 2, 3)
    assert pixels.dtype == torch.float32
    assert torch.allclose(pixels[0, :, 1, 2], torch.tensor([1.0, -0.6, -1.0]))
    assert pixels[0, :, 0].unique().tolist() == [-1.0]


def test_a_mirrored_view_is_read_as_it_looks() -> None:
    """PyTorch does not support negative strides."""
    image = np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3)
    assert torch.equal(to_pixels(image[:, :, ::-1]), to_pixels(image).flip(3))


@given(count=st.integers(0, 50), size=st.integers(1, 20))
def test_every_row_comes_once_in_order_and_the_last_fills_up(count: int, size: int) -> None:
    batches = fixed_batches(count, size)
    assert len(batches) == -(-count // size)
    assert all(rows.shape == (size,) for rows in batches)
    joined = [int(row) for rows in batches for row in rows]
    assert joined[:count] == list(range(count))
    assert set(joined[count:]) <= {count - 1}
