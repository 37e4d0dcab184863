"""From scored candidates to the one that is served: the best that passes the quality gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.runtime.reasons import FAILURES
from pigeon_rec.scoring import (
    Rejection,
    SafetyChecker,
    check_quality,
    picture_scores,
    reference_likeness,
)

__all__ = ["Choice", "Conditions", "choose"]

# The last digits of a score depend on the machine; a choice must not.
_DECIMALS = 6


@dataclass(frozen=True)
class Conditions:
    """Embeddings that the candidates of some requests are scored against.

    Attributes:
        text: Of what is to be shown, float32 `[requests, d]`.
        history: Of the users' items, float32 `[requests, length, d]`.
        reference: Of the references, float32 `[requests, d]`.
    """

    text: NDArray[np.float32]
    history: NDArray[np.float32]
    reference: NDArray[np.float32]

    def scores(self, candidates: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
        """Scores by name, rounded, float64 `[requests, candidates]`.

        Args:
            candidates: Embeddings `[requests, candidates, d]`.
        """
        known = (self.text, self.history, self.reference)
        scores = picture_scores(candidates, *(vectors[:, None] for vectors in known))
        return {name: np.round(values, _DECIMALS) for name, values in scores.items()}

    def likeness(self, candidates: NDArray[np.float32]) -> NDArray[np.float64]:
        """How much each candidate shows what the reference shows, float64 as of `scores`."""
        found = reference_likeness(candidates, self.reference[:, None], self.text.shape[-1])
        return np.round(found, _DECIMALS)


@dataclass(frozen=True)
class Choice:
    """The chosen candidate of one request.

    Attributes:
        place: Its place among the candidates.
        scores: Its scores by name.
        rejection: Why it must not be served; None if it passed the quality gate.
    """

    place: int
    scores: dict[str, float]
    rejection: Rejection | None


def choose(
    images: NDArray[np.uint8],
    scores: Mapping[str, NDArray[np.float64]],
    reference: NDArray[np.uint8],
    gate: QualityGateConfig,
    unsafe: SafetyChecker | None = None,
) -> Choice:
    """Chooses the best selection score among the candidates that pass the quality gate.

    If none passes, the best one is returned with its rejection; one whose scoring failed goes
    first, because the request may then succeed later. Ties go to the first candidate.

    Args:
        images: Renderings uint8 `[candidates, side, side, 3]`.
        scores: By name, float64 `[candidates]`.
        reference: The reference's picture uint8 `[side, side, 3]`.
        gate: Limits of the quality gate.
        unsafe: Checker of unsafe content; nothing is checked without one.
    """
    best: Choice | None = None
    for place in np.argsort(-scores["selection_score"], kind="stable").tolist():
        own = {name: float(values[place]) for name, values in scores.items()}
        rejection = check_quality(images[place], own, gate, reference=reference, unsafe=unsafe)
        choice = Choice(place, own, rejection)
        if rejection is None:
            return choice
        if best is None or (rejection.reason in FAILURES and not _failed(best)):
            best = choice
    if best is None:
        raise ValueError("there is no candidate to choose from")
    return best


def _failed(choice: Choice) -> bool:
    return choice.rejection is not None and choice.rejection.reason in FAILURES
