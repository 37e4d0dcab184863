"""Pretrained metrics and MS-SSIM."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation import perceptual
from pigeon_rec.evaluation.perceptual import ShiftTolerantLpips
from pigeon_rec.evaluation.pretrained import EfficientNetEncoder, load_pretrained, ms_ssim

seeds = st.integers(0, 10_000)


def pictures(seed: int) -> NDArray[np.uint8]:
    blocks = np.random.default_rng(seed).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


@given(seeds)
@settings(max_examples=10)
def test_ms_ssim_is_one_for_the_same_picture_and_symmetric(seed: int) -> None:
    one, other = pictures(seed), pictures(seed + 1)
    assert ms_ssim(one, one) == pytest.approx([1.0, 1.0], abs=1e-5)
    assert ms_ssim(one, other) == pytest.approx(ms_ssim(other, one), abs=1e-5)
    assert (ms_ssim(one, other) < 0.9).all()


@pytest.mark.parametrize("side", [16, 32, 64, 96, 128])
def test_pictures_of_any_size_are_compared(side: int) -> None:
    one, other = (np.asarray(pictures(seed)).repeat(2, 1).repeat(2, 2)[:, :side, :side] for seed in
                  (1, 2))  # fmt: skip
    assert ms_ssim(one, one) == pytest.approx([1.0, 1.0], abs=1e-3)
    assert (ms_ssim(one, other) < 0.95).all()
    distance = ShiftTolerantLpips()
    assert distance(one, one) == pytest.approx([0.0, 0.0], abs=1e-6)
    assert (distance(one, other) > 0.05).all()
    assert EfficientNetEncoder()(one).shape == (2, 1280)


def test_structure_needs_a_few_pixels() -> None:
    assert np.isnan(ms_ssim(pictures(0)[:, :8, :8], pictures(1)[:, :8, :8])).all()


def test_metrics_of_the_extra_are_used_if_installed_and_reported_if_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = load_pretrained()
    assert {*found.encoders} == {"eis"}
    assert {*found.distances} == {"ms_ssim", "lpips"}
    assert not found.missing
    for package in ("efficientnet_lite_pytorch", "stlpips_pytorch"):
        monkeypatch.setitem(sys.modules, package, None)
    found = load_pretrained()
    assert {*found.missing} == {"eis", "lpips"}
    assert {*found.distances} == {"ms_ssim"}


def test_pretrained_networks_rank_another_style_closer_than_another_concept() -> None:
    shown = ["noto/red-apple", "twemoji/red-apple", "noto/tiger-face"]
    apple, other_apple, tiger = load_catalogue("bundled").images(shown, size=64)[0][:, None]
    distance, encode = ShiftTolerantLpips(), EfficientNetEncoder()
    assert distance(apple, apple) == pytest.approx([0.0], abs=1e-6)
    assert distance(apple, tiger) == pytest.approx(distance(tiger, apple), rel=1e-4)
    # Values of the authors' network on the same pictures.
    assert distance(apple, other_apple) == pytest.approx([0.1456], abs=1e-4)
    assert distance(apple, tiger) == pytest.approx([0.3893], abs=1e-4)
    # The metric tolerates a shift by one pixel.
    assert distance(apple, np.roll(apple, 1, axis=2))[0] < 0.01
    assert encode(apple) @ encode(other_apple).T > encode(apple) @ encode(tiger).T


def test_damaged_weights_of_the_extra_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    monkeypatch.setattr(perceptual, "_weights_file", lambda: tmp_path / "weights.pth")
    with pytest.raises(ModelError, match="extra `eval`"):
        ShiftTolerantLpips()
