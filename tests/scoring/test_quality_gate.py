"""Every rule of the quality gate, its number and limit, and the order of the rules."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.errors import ModelError
from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.scoring import Reason, check_quality

Picture = NDArray[np.uint8]

GATE = QualityGateConfig(min_text_score=0.2, max_reference_similarity=0.9)
FROM_DRAWING = {"drawing_failed", "unreadable_input"}
GOOD = {"text_score": 0.5, "reference_score": 0.6, "history_score": 0.4}


def _picture(seed: int = 0) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def test_a_good_picture_passes() -> None:
    assert check_quality(_picture(), GOOD, GATE) is None
    assert (
        check_quality(_picture(), GOOD, GATE, reference=_picture(1), unsafe=lambda _: 0.1) is None
    )


@pytest.mark.parametrize(
    ("image", "detail"),
    [
        (None, "there is no picture"),
        (np.zeros((16, 16), np.uint8), "received uint8 [16, 16]"),
        (np.zeros((16, 16, 3), np.float32), "received float32 [16, 16, 3]"),
        (np.zeros((0, 0, 3), np.uint8), "received uint8 [0, 0, 3]"),
    ],
)
def test_undecodable(image: Picture | None, detail: str) -> None:
    rejection = check_quality(image, GOOD, GATE)
    assert rejection is not None
    assert rejection.reason == "undecodable"
    assert detail in rejection.detail


@given(st.integers(0, 255))
def test_blank(level: int) -> None:
    rejection = check_quality(np.full((16, 16, 3), level, np.uint8), GOOD, GATE)
    assert rejection is not None
    assert (rejection.reason, rejection.detail) == (
        "blank",
        "pixel deviation 0.00 is below the limit 6.00",
    )


@pytest.mark.parametrize(
    ("score", "reason", "detail"),
    [
        (0.75, "unsafe", "unsafe score 0.750 is above the limit 0.500"),
        (float("nan"), "scoring_failed", "unsafe score is nan, not a finite number"),
    ],
)
def test_unsafe(score: float, reason: str, detail: str) -> None:
    rejection = check_quality(_picture(), GOOD, GATE, unsafe=lambda _: score)
    assert rejection is not None
    assert (rejection.reason, rejection.detail) == (reason, detail)


@given(st.floats(-1, 1, width=32))
def test_off_target_below_the_limit_only(score: float) -> None:
    rejection = check_quality(_picture(), GOOD | {"text_score": score}, GATE)
    if score >= GATE.min_text_score:
        assert rejection is None
    else:
        assert rejection is not None
        assert rejection.reason == "off_target"
        assert rejection.detail == f"text score {score:.3f} is below the limit 0.200"


@given(st.floats(-1, 1, width=32))
def test_copy_in_meaning_above_the_limit_only(score: float) -> None:
    rejection = check_quality(_picture(), GOOD | {"reference_score": score}, GATE)
    if score <= GATE.max_reference_similarity:
        assert rejection is None
    else:
        assert rejection is not None
        assert rejection.reason == "copy_of_reference"
        assert rejection.detail.endswith("is above the limit 0.9000")


@given(st.floats(-1, 1, width=32))
def test_off_target_below_the_limit_of_the_likeness_only(score: float) -> None:
    gate = GATE.model_copy(update={"min_reference_likeness": 0.4})
    rejection = check_quality(_picture(), GOOD | {"likeness_score": score}, gate)
    if score >= 0.4:
        assert rejection is None
    else:
        assert rejection is not None
        assert rejection.reason == "off_target"
        assert rejection.detail.endswith("is below the limit 0.400")
    # Without the limit it is a score like any other.
    assert check_quality(_picture(), GOOD | {"likeness_score": score}, GATE) is None


def test_a_limit_of_the_likeness_needs_its_score() -> None:
    gate = GATE.model_copy(update={"min_reference_likeness": 0.4})
    with pytest.raises(ModelError, match="needs `likeness_score`"):
        check_quality(_picture(), GOOD, gate)


def test_copy_in_pixels() -> None:
    reference = _picture()
    nearly = np.where(reference > 250, reference, reference + 1).astype(np.uint8)
    rejection = check_quality(nearly, GOOD, GATE, reference=reference)
    assert rejection is not None
    assert rejection.reason == "copy_of_reference"
    assert "pixel difference" in rejection.detail
    assert rejection.detail.endswith("below the limit 4.00")


@pytest.mark.parametrize("score", ["text_score", "reference_score", "history_score"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_does_not_pass(score: str, value: float) -> None:
    rejection = check_quality(_picture(), GOOD | {score: value}, GATE)
    assert rejection is not None
    assert rejection.reason == "scoring_failed"
    assert rejection.detail == f"{score} is {value}, not a finite number"


def test_the_first_rule_broken_is_the_reason() -> None:
    bad = {"text_score": 0.0, "reference_score": 1.0}
    blank = np.zeros((16, 16, 3), np.uint8)
    rejections = [
        check_quality(None, bad, GATE),
        check_quality(blank, bad | {"history_score": math.nan}, GATE, unsafe=lambda _: 1.0),
        check_quality(blank, bad, GATE, unsafe=lambda _: 1.0),
        check_quality(_picture(), bad, GATE, unsafe=lambda _: 1.0),
        check_quality(_picture(), bad, GATE),
        check_quality(_picture(), GOOD | {"reference_score": 1.0}, GATE),
    ]
    rules = [reason for reason in get_args(Reason) if reason not in FROM_DRAWING]
    assert [rejection.reason for rejection in rejections if rejection] == rules


def test_failures_are_reasons_that_say_nothing_of_the_picture() -> None:
    verdicts = {"blank", "unsafe", "off_target", "copy_of_reference"}
    assert set(get_args(Reason)) - FAILURES == verdicts
    assert set(get_args(Reason)) >= FAILURES


def test_a_missing_score_is_an_error() -> None:
    with pytest.raises(ModelError, match="needs `reference_score`"):
        check_quality(_picture(), {"text_score": 0.5}, GATE)
