"""Noise depends on its key."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pigeon_rec.model.randomness import gumbel_noise, normal_noise

Noise = Callable[[Sequence[str], str, tuple[int, ...]], Tensor]


@pytest.mark.parametrize("noise", [normal_noise, gumbel_noise])
def test_a_row_belongs_to_its_key(noise: Noise) -> None:
    both = noise(["a", "b"], "mask", (3, 5))
    assert both.dtype == torch.float32
    assert both.shape == (2, 3, 5)
    assert torch.equal(noise(["b"], "mask", (3, 5))[0], both[1])
    assert torch.equal(noise(["c", "b", "a"], "mask", (3, 5))[[2, 1]], both)


@given(keys=st.lists(st.text(max_size=8), min_size=2, max_size=6, unique=True))
@settings(max_examples=40, deadline=None)
def test_other_keys_draw_other_numbers(keys: list[str]) -> None:
    rows = normal_noise(keys, "diffusion", (4,))
    assert len({tuple(row.tolist()) for row in rows}) == len(keys)


def test_purposes_do_not_share_numbers() -> None:
    assert not torch.equal(
        normal_noise(["a"], "mask", (4,)), normal_noise(["a"], "diffusion", (4,))
    )


def test_distributions() -> None:
    normal = normal_noise(["a"], "x", (200_000,)).double()
    assert float(normal.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(normal.std()) == pytest.approx(1.0, abs=0.01)
    gumbel = gumbel_noise(["a"], "x", (200_000,)).double()
    assert float(gumbel.mean()) == pytest.approx(np.euler_gamma, abs=0.01)
    assert float(gumbel.std()) == pytest.approx(np.pi / 6**0.5, abs=0.01)


def test_numbers_are_the_same_in_every_version() -> None:
    """Pinned: other noise would change the bytes of every picture."""
    normal = normal_noise(["asset/0"], "diffusion", (3,))[0]
    gumbel = gumbel_noise(["asset/0"], "tokens", (3,))[0]
    assert normal.tolist() == pytest.approx([1.271886, -0.330666, 0.538579], abs=1e-6)
    assert gumbel.tolist() == pytest.approx([1.322143, 1.818074, 0.546349], abs=1e-6)
