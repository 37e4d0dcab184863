"""Degradations: shapes and ranges, no change at no strength, more change at more strength."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pigeon_rec.evaluation.degradations import (
    MEASURED,
    blurred,
    compressed,
    degraded,
    noisy,
    resampled,
    round_trip,
)
from pigeon_rec.model.configuration import AutoencoderConfig
from pigeon_rec.model.image_generator import LatentCodec

Images = NDArray[np.uint8]


@st.composite
def pictures(draw: st.DrawFn) -> Images:
    """Smooth random pictures, square or upright."""
    height, width = draw(st.sampled_from([(32, 32), (48, 32), (64, 64)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    small = random.integers(0, 256, (draw(st.integers(1, 3)), height // 8, width // 8, 3))
    return small.repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)


def error(one: Images, other: Images) -> float:
    return float(((one.astype(float) - other) ** 2).mean())


@given(pictures(), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_a_degraded_batch_keeps_shape_and_type(images: Images, seed: int) -> None:
    before = images.copy()
    changed = degraded(images, np.random.default_rng(seed))
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(changed, degraded(images, np.random.default_rng(seed)))


@given(pictures())
@settings(max_examples=15, deadline=None)
def test_no_strength_changes_nothing(images: Images) -> None:
    random = np.random.default_rng(0)
    for same in (
        *(blurred(images, 0.0), resampled(images, 1.0), noisy(images, 0.0, random)),
        *(noisy(images, 0.0, random, grain=4), MEASURED["real"](images)),
    ):
        np.testing.assert_array_equal(same, images)


@given(pictures())
@settings(max_examples=15, deadline=None)
def test_more_strength_changes_more(images: Images) -> None:
    def noise(deviation: float, grain: int = 1) -> Images:
        return noisy(images, deviation, np.random.default_rng(0), grain)

    assert error(blurred(images, 0.5), images) <= error(blurred(images, 1.0), images)
    assert error(noise(0.02), images) < error(noise(0.1), images)
    assert error(noise(0.02, 4), images) < error(noise(0.1, 4), images)
    assert error(compressed(images, 95), images) <= error(compressed(images, 10), images)


@given(st.integers(0, 255), st.floats(0.1, 2.0))
@settings(max_examples=20, deadline=None)
def test_a_flat_picture_is_neither_blurred_nor_resampled(level: int, strength: float) -> None:
    flat = np.full((1, 32, 32, 3), level, dtype=np.uint8)
    np.testing.assert_array_equal(blurred(flat, strength), flat)
    np.testing.assert_array_equal(resampled(flat, strength), flat)


def test_blur_spreads_an_edge_and_keeps_its_sum() -> None:
    image = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    image[:, :, 16:] = 200
    row = blurred(image, 0.5)[0, 10, :, 0].astype(int)
    assert row[:14].sum() == 0
    assert row[15] + row[16] == pytest.approx(200, abs=1)
    assert 0 < row[15] < 60


def test_coarse_noise_is_smoother_than_fine_noise() -> None:
    grey = np.full((4, 64, 64, 3), 128, dtype=np.uint8)

    def roughness(grain: int) -> float:
        changed = noisy(grey, 0.1, np.random.default_rng(1), grain).astype(float)
        return float(np.abs(np.diff(changed, axis=1)).mean() / changed.std())

    assert roughness(4) < 0.5 * roughness(1)


def test_a_round_trip_goes_through_the_autoencoder() -> None:
    codec = LatentCodec(AutoencoderConfig(latent_channels=4, channels=(16,))).eval()
    images = np.random.default_rng(0).integers(0, 256, (35, 32, 32, 3), dtype=np.uint8)
    decoded = round_trip(images, codec)
    assert decoded.shape == images.shape
    assert decoded.dtype == np.uint8
    assert error(decoded, images) > 100  # random weights
    np.testing.assert_array_equal(decoded, round_trip(images, codec))
    assert round_trip(images[:0], codec).shape == (0, 32, 32, 3)
