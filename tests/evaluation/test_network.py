"""The judges' networks: fixed descriptors of known pictures, unit vectors at any size."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from pigeon_rec.evaluation.network import (
    JudgeNetwork,
    NetworkConfig,
    embed,
    gradient_maps,
    palette,
    texture,
)


def white(count: int = 1, height: int = 64, width: int = 64) -> Tensor:
    return torch.ones(count, 3, height, width)


def test_an_empty_picture_has_no_palette_and_no_edges() -> None:
    assert palette(white()).sum() == 0
    assert texture(white()).sum() == 0
    maps = gradient_maps(white())
    assert torch.isfinite(maps).all()
    assert maps[:, 16:].sum() == 0


def test_the_palette_has_shares_of_ink() -> None:
    picture = white()
    picture[0, :, 8:16, 8:16] = -1.0
    picture[0, 1:, 20:28, 8:16] = -1.0  # red
    shares = palette(picture)[0] ** 2
    assert shares[0].item() == pytest.approx(0.5, abs=0.01)
    assert shares[5 * 36].item() == pytest.approx(0.5, abs=0.01)


def test_a_small_change_of_colour_changes_the_palette_a_little() -> None:
    picture = white()
    picture[0, :, 8:40, 8:40] = 0.1
    changed = picture.clone()
    changed[0, :, 8:40, 8:40] += 0.01
    assert (palette(picture) ** 2 - palette(changed) ** 2).abs().max() < 0.1


def test_flat_fills_and_shading_have_other_textures() -> None:
    flat, shaded = white(), white()
    flat[0, :, 16:48, 16:48] = -0.5
    shaded[0, :, 16:48, 16:48] = torch.linspace(-1.0, 0.5, 32)
    first = [texture(picture)[0, :12] ** 2 for picture in (flat, shaded)]
    assert first[0][0] > 0.9  # no change of grey
    assert first[1][0] < 0.1
    assert first[1].sum().item() == pytest.approx(1.0, abs=0.01)


def test_edges_have_a_direction_and_do_not_depend_on_brightness() -> None:
    upright, lying = white(), white()
    upright[0, :, :, 31:33] = -1.0
    lying[0, :, 31:33, :] = -1.0
    found = [gradient_maps(picture)[0, :8].sum((1, 2)) for picture in (upright, lying)]
    assert [int(turns.argmax()) for turns in found] == [0, 4]
    light = white()
    light[0, :, :, 31:33] = 0.0
    pale, dark = (gradient_maps(picture)[0, :8] for picture in (light, upright))
    torch.testing.assert_close(pale, dark, atol=0.1, rtol=0.15)


@pytest.mark.parametrize("kind", ["style", "concept"])
@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_pictures_become_unit_vectors(
    kind: Literal["style", "concept"], size: tuple[int, int]
) -> None:
    network = JudgeNetwork(NetworkConfig(kind=kind, widths=(8, 16), dimensions=5)).eval()
    vectors = network(torch.rand(3, 3, *size) * 2.0 - 1.0)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    assert vectors.shape == (3, 5)


def test_pictures_are_seen_at_the_size_that_was_learned() -> None:
    network = JudgeNetwork(
        NetworkConfig(kind="style", image_size=32, widths=(8, 16), dimensions=5)
    ).eval()
    small = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    large = small.repeat(4, axis=1).repeat(4, axis=2)
    torch.testing.assert_close(embed(network, large), embed(network, small), atol=1e-5, rtol=1e-4)
