"""Metrics of pictures and of sets of pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.world import load_world
from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation import perceptual
from pigeon_rec.evaluation.encoders import ItemVectors, JudgeEncoder
from pigeon_rec.evaluation.frechet import frechet_distance, frechet_interval
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.evaluation.measure import LOWER_IS_BETTER, METRICS, MetricSuite
from pigeon_rec.evaluation.perceptual import ShiftTolerantLpips
from pigeon_rec.evaluation.pretrained import EfficientNetEncoder, load_pretrained, ms_ssim

seeds = st.integers(0, 10_000)
APPLE = {
    "case_id": "u/noto/red-apple",
    "history_ids": ["noto/dog-face", "noto/cat-face"],
    "random_ids": ["noto/dog-face", "twemoji/cat-face"],
    "reference_id": "twemoji/red-apple",
    "truth_id": "noto/red-apple",
    "concept": "red-apple",
    "style": "noto",
}


def vectors(seed: int, count: int = 40, shift: float = 0.0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, 6)) + shift
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("f4")
    return unit


def pictures(seed: int) -> NDArray[np.uint8]:
    blocks = np.random.default_rng(seed).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


@given(seeds)
@settings(max_examples=10)
def test_a_set_has_distance_zero_from_itself_in_any_order(seed: int) -> None:
    rows = vectors(seed)
    assert frechet_distance(rows, rows[::-1].copy()) == pytest.approx(0.0, abs=1e-4)


@given(seeds)
@settings(max_examples=10)
def test_the_distance_is_symmetric_and_grows_with_the_difference(seed: int) -> None:
    one, near, far = vectors(seed), vectors(seed + 1), vectors(seed + 1, shift=2.0)
    assert frechet_distance(one, near) == pytest.approx(frechet_distance(near, one), rel=1e-3)
    assert frechet_distance(one, near) < frechet_distance(one, far)


def test_the_interval_contains_the_distance() -> None:
    interval = frechet_interval(vectors(0), vectors(1, count=200), resamples=20)
    assert 0.0 <= interval.low <= interval.mean <= interval.high
    assert interval.cases == 40


@given(seeds)
@settings(max_examples=10)
def test_ms_ssim_is_one_for_the_same_picture_and_symmetric(seed: int) -> None:
    one, other = pictures(seed), pictures(seed + 1)
    assert ms_ssim(one, one) == pytest.approx([1.0, 1.0], abs=1e-5)
    assert ms_ssim(one, other) == pytest.approx(ms_ssim(other, one), abs=1e-5)
    assert (ms_ssim(one, other) < 0.9).all()


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
    # A shift by one pixel hardly counts, which is what the metric was made for.
    assert distance(apple, np.roll(apple, 1, axis=2))[0] < 0.01
    assert encode(apple) @ encode(other_apple).T > encode(apple) @ encode(tiger).T


def test_damaged_weights_of_the_extra_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    monkeypatch.setattr(perceptual, "_weights_file", lambda: tmp_path / "weights.pth")
    with pytest.raises(ModelError, match="extra `eval`"):
        ShiftTolerantLpips()


def test_real_pictures_hit_copy_or_miss_as_expected() -> None:
    """The truth hits both, the reference copies, and another concept misses the target."""
    judges, catalogue = Judges.load(), load_catalogue("bundled")
    case = pl.DataFrame([APPLE] * 3)
    items = [*APPLE["history_ids"], *APPLE["random_ids"], APPLE["reference_id"], APPLE["truth_id"]]
    encoders = {"jis": JudgeEncoder(judges)}
    text = np.ones(107, np.float32)
    vectors = ItemVectors(catalogue, [str(item) for item in items], encoders)
    texts = {"twemoji/red-apple": text}
    suite = MetricSuite(judges, encoders, {"ms_ssim": ms_ssim}, vectors, "jis", texts)
    shown = ["noto/red-apple", "twemoji/red-apple", "noto/dog-face"]
    values = suite.measure(catalogue.images(shown, size=64)[0], case)
    assert {"style_hit", "jis", "hist_jis", "user_jis", "ms_ssim", "hist_ms_ssim"} <= {*values}
    assert {*values} <= {*METRICS}
    assert values["both_hit"].tolist() == [1.0, 0.0, 0.0]
    assert values["copies_reference"].tolist() == [0.0, 1.0, 0.0]
    assert values["lost_target"].tolist() == [0.0, 0.0, 1.0]
    assert values["collapse"].tolist() == [0.0, 1.0, 1.0]
    assert values["jis"][0] == pytest.approx(1.0, abs=1e-5)
    own = vectors.vectors("jis")
    dog, cat, apple = (own[vectors.rows([item])[0]] for item in
                       ("noto/dog-face", "noto/cat-face", "noto/red-apple"))  # fmt: skip
    assert values["hist_jis"][0] == pytest.approx((apple @ dog + apple @ cat) / 2, abs=1e-5)


def test_every_item_used_here_exists_and_lower_metrics_are_metrics() -> None:
    assert {str(APPLE["truth_id"]), "twemoji/cat-face"} <= {
        *load_world("bundled").artwork()["item_id"]
    }
    assert {*METRICS} >= LOWER_IS_BETTER
