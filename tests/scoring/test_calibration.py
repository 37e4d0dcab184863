"""Calibration of the quality gate: a stated share passes, and noise is not taken for a rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pigeon_rec.scoring.calibration import (
    FEWEST,
    PASSING,
    GateCalibration,
    area_under_curve,
    calibrate,
)
from pigeon_rec.scoring.metrics import clip_text_score, reference_likeness

Vectors = NDArray[np.float32]


def unit(vectors: NDArray[np.float64]) -> Vectors:
    found: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def scored(count: int, noise: float, seed: int = 0) -> tuple[Vectors, Vectors, list[str]]:
    """Texts of eight numbers, and pictures that show them up to noise, with a style part."""
    random = np.random.default_rng(seed)
    texts = unit(random.normal(size=(count, 8)))
    concept = unit(texts + noise * random.normal(size=(count, 8)))
    style = unit(random.normal(size=(count, 4)))
    return np.concatenate([concept, style], axis=1), texts, [f"text {n}" for n in range(count)]


@given(
    right=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    wrong=st.lists(st.integers(0, 5), min_size=1, max_size=30),
)
def test_the_area_is_the_share_of_pairs_in_the_right_order(
    right: list[int], wrong: list[int]
) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in right for b in wrong]
    area = area_under_curve(np.array(right, float), np.array(wrong, float))
    assert area == pytest.approx(sum(pairs) / len(pairs))


@settings(max_examples=20, deadline=None)
@given(count=st.integers(FEWEST, 300), noise=st.floats(0.1, 0.4), seed=st.integers(0, 99))
def test_the_stated_share_of_the_originals_passes(count: int, noise: float, seed: int) -> None:
    images, texts, names = scored(count, noise, seed)
    found = calibrate(images, texts, names)
    assert found.texts_count
    assert found.min_reference_likeness is None
    passing = (clip_text_score(images, texts) >= found.min_text_score).mean()
    assert PASSING <= passing <= PASSING + 0.03 + 2 / count
    own, _ = found.passing(found.min_text_score) or (0.0, 0.0)
    assert own == pytest.approx(passing, abs=0.02)


def test_the_same_pictures_give_the_same_limits() -> None:
    assert calibrate(*scored(200, 0.3)) == calibrate(*scored(200, 0.3))


def test_texts_that_tell_nothing_give_way_to_the_likeness_to_the_reference() -> None:
    images, _, names = scored(400, 0.1)
    _, foreign, _ = scored(400, 0.1, seed=1)
    found = calibrate(images, foreign, names)
    assert found.auc == pytest.approx(0.5, abs=0.05)
    assert not found.texts_count
    assert found.min_text_score == -1.0
    apart = reference_likeness(images[:, None], images[None], 8)[np.triu_indices(400, 1)]
    assert found.min_reference_likeness == pytest.approx(np.median(apart), abs=0.03)
    # Half of the other originals are refused, as stated.
    assert found.min_reference_likeness is not None
    assert (apart < found.min_reference_likeness).mean() == pytest.approx(0.5, abs=0.05)


def test_the_area_tells_how_well_texts_count() -> None:
    areas = [calibrate(*scored(300, noise)).auc or 0.0 for noise in (0.1, 0.8, 1.6, 4.0)]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > 0.99
    assert areas[-1] < 0.75


def test_equal_texts_are_no_wrong_ones() -> None:
    images, texts, _ = scored(FEWEST, 0.1)
    doubled = np.repeat(images, 6, axis=0), np.repeat(texts, 6, axis=0)
    names = [f"text {n}" for n in range(FEWEST) for _ in range(6)]
    assert (calibrate(*doubled, names).auc or 0.0) > 0.99
    # Taken for different texts, they would count as wrong ones with the scores of right ones.
    assert (calibrate(*doubled, [f"text {n}" for n in range(6 * FEWEST)]).auc or 1.0) < 0.8


def test_few_different_texts_do_not_count() -> None:
    images, texts, _ = scored(100, 0.1)
    found = calibrate(images, texts, ["shoe", "hat"] * 50)
    assert (found.auc, found.min_text_score) == (None, -1.0)
    assert found.min_reference_likeness is not None


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_few_pictures_calibrate_nothing(count: int) -> None:
    found = calibrate(*scored(count, 0.1)) if count else calibrate(*scored(1, 0.1))
    assert found == GateCalibration(max(count, 1), None, -1.0, None)


def test_warnings_say_what_a_limit_means_and_what_to_do() -> None:
    good, noise = calibrate(*scored(400, 0.1)), calibrate(*scored(400, 4.0))
    assert list(good.warnings(good.min_text_score)) == []
    [strict] = good.warnings(0.99)
    assert "At gate.min_text_score 0.99, " in strict.text
    assert str(strict).endswith(". Leave gate.min_text_score out, and it is calibrated.")
    [instead] = noise.warnings(-1.0)
    assert "cannot tell right from wrong texts" in instead.text
    assert instead.text.endswith(
        "% pass with a wrong text): the likeness to the reference is checked instead"
    )
    assert "Train a model on this catalogue" in instead.remedy
    told, passing = noise.warnings(0.3)
    assert "with gate.min_text_score: auto, the likeness" in told.text
    assert passing.text.startswith("At gate.min_text_score 0.3, ")
    # A limit that the calibration itself has chosen is not to be calibrated.
    weak = calibrate(*scored(300, 0.6))
    [many] = weak.warnings(weak.min_text_score)
    assert "% with a wrong one" in many.text
    assert many.remedy.startswith("Train a model")
    [few] = calibrate(*scored(3, 0.1)).warnings(-1.0)
    assert "has 3 pictures" in few.text


def test_nothing_passes_a_rule_that_is_off() -> None:
    found = calibrate(*scored(400, 4.0))
    assert found.passing(-1.0) is None
    assert calibrate(*scored(3, 0.1)).passing(0.5) is None
    own, wrong = found.passing(0.0) or (0.0, 0.0)
    assert 0.0 < wrong < own < 1.0
