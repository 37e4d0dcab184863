"""Calibration of the quality gate on a catalogue's own pictures (numpy only).

The limit of the text score must suit the scorer *and* the catalogue. The original pictures show how
right pictures score: each is scored against its own text, and against texts of other items. The
limit is the score that 95 % of the originals reach against their own text. Where a scorer cannot
tell own from other texts, any such limit is noise: then no text counts, and a picture must be more
like its reference than half of the other originals are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.scoring.metrics import FloatArray, clip_text_score, reference_likeness

__all__ = [
    "FEWEST",
    "PASSING",
    "TELLING",
    "GateCalibration",
    "GateWarning",
    "area_under_curve",
    "calibrate",
]

PASSING: Final = 0.95
"""Share of the originals that must pass the text rule."""
TELLING: Final = 0.75
"""Area under the curve from which texts count: 0.5 is chance, 1 is perfect."""
FEWEST: Final = 30
"""Pictures below which nothing is calibrated, and neither texts nor the reference count; and
different texts below which texts do not count."""

_FEW_PASS: Final = 0.85
_MANY_PASS: Final = 0.25
_OTHERS: Final = 5  # other texts, and other pictures, that each picture is scored against
_DECIMALS: Final = 1000  # further digits differ between machines, and the limits are part of keys
_OFF: Final = -1.0


class GateWarning(NamedTuple):
    """What a team should know of its quality gate, and what to do; as text, two sentences."""

    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text}. {self.remedy}."


@dataclass(frozen=True)
class GateCalibration:
    """The limits for one catalogue and scorer, and what they are based on.

    Attributes:
        pictures: Originals that were scored.
        auc: Probability that an original scores higher against its own text than another one
            against a text of another item; None if there are too few of either.
        min_text_score: Limit of the text score; -1, which all pass, if texts do not count.
        min_reference_likeness: Limit of the likeness to the reference; None if texts count.
        own: Text scores against own texts, as quantiles in steps of 1 %.
        other: Text scores against texts of other items, likewise.
    """

    pictures: int
    auc: float | None
    min_text_score: float
    min_reference_likeness: float | None
    own: tuple[float, ...] = ()
    other: tuple[float, ...] = ()

    @property
    def texts_count(self) -> bool:
        """Whether texts tell right from wrong pictures well enough for a limit."""
        return self.auc is not None and self.auc >= TELLING

    def warnings(self, limit: float) -> Iterator[GateWarning]:
        """Yields what a team should know, given the limit of the text score in use."""
        if self.pictures < FEWEST:
            yield GateWarning(
                f"The catalogue has {self.pictures} pictures to calibrate the quality gate on, and "
                f"{FEWEST} are needed: unless the settings have limits, neither texts nor likeness "
                "to the reference are checked",
                "Give the catalogue more pictures, or set gate.min_text_score",
            )
        elif not self.texts_count:
            why = (
                f"there are fewer than {FEWEST} different ones"
                if self.auc is None
                else f"AUC {self.auc:.2f}, where 0.5 is chance; at a limit that {PASSING:.0%} of "
                f"the pictures pass, {self._share(self.other, self._usual_limit):.0%} pass with a "
                "wrong text"
            )
            instead = "the likeness to the reference is checked instead"
            yield GateWarning(
                f"The scorer cannot tell right from wrong texts of this catalogue ({why}): "
                + (instead if limit <= _OFF else f"with gate.min_text_score: auto, {instead}"),
                "Train a model on this catalogue (`pigeon-rec train all --help`), or name columns "
                "whose texts say what is to be seen",
            )
        passing = self.passing(limit)
        if passing is not None and (passing[0] < _FEW_PASS or passing[1] > _MANY_PASS):
            yield GateWarning(
                f"At gate.min_text_score {limit}, {passing[0]:.0%} of the catalogue's own pictures "
                f"pass with their own text, and {passing[1]:.0%} with a wrong one",
                "Train a model on this catalogue (`pigeon-rec train all --help`) for a scorer that "
                "reads its texts better, or set a higher limit, which refuses more right pictures"
                if limit == self.min_text_score
                else "Leave gate.min_text_score out, and it is calibrated",
            )

    def passing(self, limit: float) -> tuple[float, float] | None:
        """Shares of the originals that pass a limit with their own text, and with another one.

        None if the limit switches the rule off, or too few were scored.
        """
        if not self.own or limit <= _OFF:
            return None
        return self._share(self.own, limit), self._share(self.other, limit)

    @property
    def _usual_limit(self) -> float:
        return self.own[round(100 * (1 - PASSING))]

    @staticmethod
    def _share(quantiles: tuple[float, ...], limit: float) -> float:
        """Share of scores above a limit, from their quantiles in equal steps."""
        steps = np.linspace(0.0, 1.0, len(quantiles))
        return round(1.0 - float(np.interp(limit, quantiles, steps)), 4)


def calibrate(
    images: NDArray[np.float32], texts: NDArray[np.float32], names: Sequence[str]
) -> GateCalibration:
    """Chooses the limits for originals with different pictures.

    Args:
        images: Image embeddings `[n, dim]`, in an order without meaning.
        texts: Embedding of each one's own text `[n, text dim]`.
        names: The texts; a picture is not scored against another item's equal text.
    """
    count = len(images)
    if count < FEWEST:
        return GateCalibration(count, None, _OFF, None)
    # Other items are those some steps further, so that every text is used equally often.
    steps = [np.roll(np.arange(count), -step) for step in range(1, _OTHERS + 1)]
    width = texts.shape[-1]
    likeness = np.concatenate([reference_likeness(images, images[step], width) for step in steps])
    by_reference = GateCalibration(count, None, _OFF, _rounded(np.median(likeness)))
    if len(set(names)) < FEWEST:
        return by_reference
    differs = [np.array([names[i] != names[j] for i, j in enumerate(step)]) for step in steps]
    own = clip_text_score(images, texts)
    other = np.concatenate(
        [
            clip_text_score(images[apart], texts[step[apart]])
            for step, apart in zip(steps, differs, strict=True)
        ]
    )
    auc = round(area_under_curve(own, other), 4)
    found: dict[str, Any] = {"auc": auc, "own": _percentiles(own), "other": _percentiles(other)}
    if auc < TELLING:
        return dataclasses.replace(by_reference, **found)
    text_limit = _rounded(np.quantile(own, 1.0 - PASSING, method="lower"))
    return GateCalibration(count, min_text_score=text_limit, min_reference_likeness=None, **found)


def area_under_curve(right: FloatArray, wrong: FloatArray) -> float:
    """Probability that a right score is above a wrong one; equal ones count half."""
    below = np.searchsorted(np.sort(wrong), right, side="left")
    not_above = np.searchsorted(np.sort(wrong), right, side="right")
    return float((below + not_above).mean() / 2 / len(wrong))


def _rounded(limit: Any) -> float:
    """Rounds down, so that no less than the wanted share passes."""
    return math.floor(float(limit) * _DECIMALS) / _DECIMALS


def _percentiles(scores: FloatArray) -> tuple[float, ...]:
    return tuple(round(float(q), 4) for q in np.quantile(scores, np.linspace(0.0, 1.0, 101)))
