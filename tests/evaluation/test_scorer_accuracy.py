"""What the bundled scorer knows, and that knowing nothing is told too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.evaluation import scorer_accuracy as module
from pigeon_rec.evaluation.judges import CANDIDATES
from pigeon_rec.evaluation.scorer_accuracy import accuracy_of_model, scorer_accuracy


class Guessing:
    """Vectors that have nothing to do with what is seen."""

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


def test_a_scorer_that_guesses_is_seen_through() -> None:
    worth = scorer_accuracy(Guessing(), QualityGateConfig(min_text_score=0.0))  # type: ignore[arg-type]
    assert worth.pictures == 1178
    assert worth.style_by_text == pytest.approx(1 / 8, abs=0.04)
    assert worth.style_by_neighbour == pytest.approx(1 / 8, abs=0.05)
    assert worth.topic_by_neighbour < 0.1
    assert worth.concept_by_text == pytest.approx(1 / CANDIDATES, abs=0.015)
    assert worth.own_text_passes == pytest.approx(0.5, abs=0.06)
    assert worth.wrong_text_passes == pytest.approx(0.5, abs=0.06)
    everything = scorer_accuracy(Guessing(), QualityGateConfig(min_text_score=-1.0))  # type: ignore[arg-type]
    assert everything.own_text_passes == everything.wrong_text_passes == 1.0


def test_wrong_texts_are_of_other_concepts() -> None:
    concepts = np.array([f"c{row // 3}" for row in range(360)], dtype=object)
    wrong = module._wrong_texts(concepts)
    assert wrong.shape == (360, CANDIDATES - 1)
    assert not (concepts[wrong] == concepts[:, None]).any()


@pytest.mark.slow
def test_the_bundled_scorer_knows_what_it_chooses_by() -> None:
    worth = accuracy_of_model("sticker-64")
    assert worth.style_by_text > 0.8
    assert worth.style_by_neighbour > 0.7
    assert worth.concept_by_text > 0.5
    # What the docstring of QualityGateConfig says of its default.
    assert worth.own_text_passes == pytest.approx(0.98, abs=0.01)
    assert worth.wrong_text_passes < 0.25
