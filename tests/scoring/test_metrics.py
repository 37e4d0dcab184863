"""Scores against known values and against their defining properties."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pigeon_rec.scoring import (
    clip_text_score,
    history_similarity,
    pixel_std,
    reference_pixel_difference,
    reference_similarity,
    row_cosine,
)

Floats = NDArray[np.float64]
Levels = NDArray[np.uint8]

LEVELS = hnp.arrays(np.uint8, (2, 5, 4, 3))
VECTORS = hnp.arrays(np.float64, (3, 4), elements=st.floats(-10, 10, width=32))


def test_cosine_of_known_vectors() -> None:
    left = [[1.0, 0.0], [3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]
    right = [[0.0, 5.0], [4.0, 3.0], [1.0, 1.0], [1.0, 0.0]]
    np.testing.assert_allclose(row_cosine(left, right), [0.0, 0.96, 0.0, -1.0])


@given(VECTORS, VECTORS, st.floats(0.1, 50))
def test_cosine_is_bounded_symmetric_and_scale_invariant(
    left: Floats, right: Floats, scale: float
) -> None:
    cosine = row_cosine(left, right)
    assert np.all(np.abs(cosine) <= 1.0)
    np.testing.assert_array_equal(cosine, row_cosine(right, left))
    np.testing.assert_allclose(cosine, row_cosine(left * scale, right), atol=1e-6)


def test_cosine_refuses_different_dimensions() -> None:
    with pytest.raises(ValueError, match="of 2 and of 3 dims"):
        row_cosine(np.ones((1, 2)), np.ones((1, 3)))


def test_text_and_reference_scores_are_row_wise() -> None:
    images = np.eye(3)
    np.testing.assert_allclose(clip_text_score(images, images[::-1]), [0.0, 1.0, 0.0])
    np.testing.assert_allclose(reference_similarity(images, images), [1.0, 1.0, 1.0])


def test_a_text_is_compared_with_the_part_of_an_image_that_it_shares() -> None:
    images = [[0.6, 0.0, 0.8], [0.3, 0.4, 0.9]]  # two shared dimensions, then the style part
    np.testing.assert_allclose(clip_text_score(images, [[1.0, 0.0], [0.0, 2.0]]), [1.0, 0.8])
    with pytest.raises(ValueError, match="of 3 and of 4 dims"):
        clip_text_score(images, np.ones((2, 4)))


def test_history_score_is_the_mean_over_the_history() -> None:
    images = np.array([[1.0, 0.0], [0.0, 2.0]])
    past = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 3.0]]])
    np.testing.assert_allclose(history_similarity(images, past), [0.5, 1.0])
    np.testing.assert_allclose(history_similarity(images, past[:, :0]), [0.0, 0.0])


@given(
    hnp.arrays(np.float64, (2, 6, 4), elements=st.floats(-4, 4, width=32)),
    st.permutations(range(6)),
)
def test_history_score_ignores_order(past: Floats, order: list[int]) -> None:
    images = np.array([[1.0, 0.5, -1.0, 2.0], [0.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(
        history_similarity(images, past), history_similarity(images, past[:, order]), atol=1e-12
    )


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_one_colour_has_zero_deviation(colour: tuple[int, int, int]) -> None:
    assert pixel_std(np.full((8, 8, 3), colour, np.uint8)) == 0.0


def test_deviation_of_a_half_black_image() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2] = 255
    assert pixel_std(image) == pytest.approx(127.5)
    np.testing.assert_allclose(pixel_std(np.stack([image, image * 0])), [127.5, 0.0])


@given(LEVELS, LEVELS)
def test_pixel_difference_is_a_symmetric_distance(a: Levels, b: Levels) -> None:
    apart = reference_pixel_difference(a, b)
    assert np.all((apart >= 0.0) & (apart <= 255.0))
    np.testing.assert_array_equal(apart, reference_pixel_difference(b, a))
    np.testing.assert_array_equal(reference_pixel_difference(a, a), [0.0, 0.0])


def test_pixel_difference_excludes_the_white_background() -> None:
    a = np.full((10, 10, 3), 255, np.uint8)
    a[0, 0] = 100
    b = a.copy()
    b[0, 0] = 130
    assert reference_pixel_difference(a, b) == pytest.approx(30.0)


def test_the_package_root_imports_no_torch() -> None:
    code = "import sys, pigeon_rec.scoring; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
