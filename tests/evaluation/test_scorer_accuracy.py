"""Accuracy of the bundled scorer, and of one that guesses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.evaluation import scorer_accuracy as module
from pigeon_rec.evaluation.judges import CHOICES
from pigeon_rec.evaluation.scorer_accuracy import scorer_accuracy
from pigeon_rec.scoring.scorer import load_scorer


class Guessing:
    """Random vectors, whatever the input."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(5)

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._unit(len(images))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._unit(len(texts))

    def _unit(self, count: int) -> NDArray[np.float32]:
        vectors = self._random.normal(size=(count, 16))
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit.astype(np.float32)


def test_a_scorer_that_guesses_has_chance_accuracy() -> None:
    accuracy = scorer_accuracy(Guessing(), QualityGateConfig(min_text_score=0.0))  # type: ignore[arg-type]
    assert accuracy.pictures == 1178
    assert accuracy.style_by_text == pytest.approx(1 / 8, abs=0.04)
    assert accuracy.style_by_neighbour == pytest.approx(1 / 8, abs=0.05)
    assert accuracy.style_by_history == pytest.approx(1 / 7, abs=0.05)
    assert accuracy.topic_by_neighbour == pytest.approx(0.05, abs=0.05)
    assert accuracy.concept_by_text == pytest.approx(1 / CHOICES, abs=0.015)
    assert accuracy.own_text_passes == pytest.approx(0.5, abs=0.06)
    assert accuracy.wrong_text_passes == pytest.approx(0.5, abs=0.06)
    everything = scorer_accuracy(Guessing(), QualityGateConfig(min_text_score=-1.0))  # type: ignore[arg-type]
    assert everything.own_text_passes == everything.wrong_text_passes == 1.0


def test_wrong_texts_are_of_other_concepts() -> None:
    concepts = np.array([f"c{row // 3}" for row in range(360)], dtype=object)
    wrong = module._wrong_texts(concepts)
    assert wrong.shape == (360, CHOICES - 1)
    assert not (concepts[wrong] == concepts[:, None]).any()


@pytest.mark.slow
def test_the_bundled_scorer_is_accurate() -> None:
    accuracy = scorer_accuracy(load_scorer("sticker-64"))
    assert accuracy.style_by_text == pytest.approx(0.9, abs=0.1)
    assert accuracy.style_by_neighbour == pytest.approx(0.9, abs=0.15)
    assert accuracy.concept_by_text > 0.8
    # Stated in the docstring of QualityGateConfig.
    assert accuracy.own_text_passes == pytest.approx(0.95, abs=0.01)
    assert accuracy.wrong_text_passes == pytest.approx(0.05, abs=0.01)
