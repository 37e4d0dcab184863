"""Choosing among scored candidates: order, quality gate, rounding."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.drawing import Conditions, choose

GATE = QualityGateConfig(min_text_score=0.5)


def images(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def scores(selection: list[float], text: list[float]) -> dict[str, NDArray[np.float64]]:
    return {
        "selection_score": np.array(selection),
        "text_score": np.array(text),
        "reference_score": np.zeros(len(text)),
    }


def test_the_best_candidate_that_passes_is_chosen() -> None:
    choice = choose(images(3), scores([0.3, 0.9, 0.6], [0.9, 0.1, 0.7]), images(4)[3], GATE)
    assert (choice.place, choice.rejection) == (2, None)
    assert choice.scores["selection_score"] == 0.6


def test_if_none_passes_the_best_is_returned_with_its_rejection() -> None:
    choice = choose(images(2), scores([0.3, 0.9], [0.2, 0.1]), images(3)[2], GATE)
    assert choice.place == 1
    assert choice.rejection is not None
    assert choice.rejection.reason == "off_target"
    assert "0.100" in choice.rejection.detail


@pytest.mark.parametrize("order", [[0.3, 0.9], [0.9, 0.3]])
def test_a_candidate_without_a_score_makes_the_rejection_a_failure(order: list[float]) -> None:
    found = scores(order, [0.1, 0.1]) | {"history_score": np.array([0.2, np.nan])}
    choice = choose(images(2), found, images(3)[2], GATE)
    assert choice.place == 1
    assert choice.rejection is not None
    assert choice.rejection.reason == "scoring_failed"


def test_a_tie_goes_to_the_first_candidate() -> None:
    assert choose(images(2), scores([0.5, 0.5], [0.9, 0.9]), images(3)[2], GATE).place == 0


def test_an_unsafe_candidate_gives_way_to_a_safe_one() -> None:
    pictures = images(2)
    choice = choose(
        pictures, scores([0.9, 0.5], [0.9, 0.9]), images(3)[2], GATE,
        unsafe=lambda image: float(np.array_equal(image, pictures[0])),
    )  # fmt: skip
    assert choice.place == 1


def test_without_candidates_there_is_no_choice() -> None:
    with pytest.raises(ValueError, match="no candidate"):
        choose(images(0), scores([], []), images(1)[0], GATE)


def test_scores_are_rounded_to_six_decimals() -> None:
    vectors = np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    conditions = Conditions(text=vectors[:, 0], history=vectors[:, 1:], reference=vectors[:, 0])
    for values in conditions.scores(vectors).values():
        assert values.shape == (2, 3)
        assert np.array_equal(values, np.round(values, 6))
    assert conditions.scores(vectors)["text_score"][:, 0] == pytest.approx(1.0)
