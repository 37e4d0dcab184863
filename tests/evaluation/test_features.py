"""Features of pictures whose features are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pigeon_rec.evaluation.features import concept_features, style_features


def canvas(count: int = 1) -> NDArray[np.uint8]:
    return np.full((count, 64, 64, 3), 255, dtype=np.uint8)


def test_an_empty_picture_has_features_and_no_ink() -> None:
    for features in (style_features(canvas()), concept_features(canvas())):
        assert np.isfinite(features).all()
    assert style_features(canvas())[0, :216].sum() == 0


def test_the_palette_has_shares_of_ink() -> None:
    image = canvas()
    image[0, 8:16, 8:16] = (0, 0, 0)
    image[0, 20:28, 8:16] = (255, 0, 0)
    palette = style_features(image)[0, :216] ** 2
    assert palette[0] == pytest.approx(0.5, abs=0.01)
    assert palette[5 * 36] == pytest.approx(0.5, abs=0.01)


def test_edge_features_do_not_depend_on_brightness() -> None:
    dark, light = canvas(), canvas()
    dark[0, 16:48, 16:48] = (20, 20, 20)
    light[0, 16:48, 16:48] = (200, 200, 200)
    edges = slice(0, 1024)  # of greys, then of the silhouette
    found = [concept_features(image)[0, edges] for image in (dark, light)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_edges_have_a_direction() -> None:
    upright, lying = canvas(), canvas()
    upright[0, :, 31:33] = 0
    lying[0, 31:33, :] = 0
    turns = [concept_features(im)[0, :512].reshape(64, 8).sum(0) for im in (upright, lying)]
    assert turns[0].argmax() == 0
    assert turns[1].argmax() == 4
