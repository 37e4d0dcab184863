"""From the candidates of a case to the one picture that a night would serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.evaluation.drawings import Studio
from pigeon_rec.evaluation.encoders import ItemVectors
from pigeon_rec.evaluation.methods import Method, Request
from pigeon_rec.evaluation.settings import EvaluationSettings
from pigeon_rec.scoring import check_quality, picture_scores, shortlist
from pigeon_rec.scoring.scorer import Scorer

__all__ = ["Chooser", "Chosen"]

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Chosen:
    """One picture a case.

    Attributes:
        images: uint8 `[n, 64, 64, 3]`.
        rejected: 1 where no candidate passed the quality gate, so that a night would serve the
            original; NaN for methods without candidates. float64 `[n]`.
    """

    images: Images
    rejected: NDArray[np.float64]


@dataclass(frozen=True)
class Chooser:
    """Chooses as the nightly run does: the best score among those that pass the gate.

    Attributes:
        studio: Has the drawn candidates.
        encoder: The scorer.
        items: Reference and history pictures, as the scorer sees them under `cis`.
        texts: The scorer's vectors of the items' texts.
        settings: Seed, ratios and gate.
    """

    studio: Studio
    encoder: Scorer
    items: ItemVectors
    texts: Mapping[str, NDArray[np.float32]]
    settings: EvaluationSettings

    def screened(self, method: Method, cases: pl.DataFrame) -> list[list[Request]]:
        """What is to be rendered for each case: the candidates of the most promising previews.

        The tokens of all candidates have to be written.
        """
        rows = cases.to_dicts()
        asked = [method.requests(row, self.settings.generation, self.settings.seed) for row in rows]
        rendered = self.settings.generation.rendered
        most = max(map(len, asked), default=0)
        if rendered is None or most <= rendered or not self.studio.has_previews(method.model):
            return asked
        ends = np.cumsum([len(requests) for requests in asked])[:-1]
        previews = self.studio.previews([r for requests in asked for r in requests])
        seen = np.split(self.encoder.encode_images(previews), ends)
        kept = []
        for row, requests, vectors in zip(rows, asked, seen, strict=True):
            scores = self._scores(vectors, row, method.history(row))["selection_score"]
            kept.append([requests[place] for place in shortlist(scores, rendered)])
        return kept

    def choose(
        self, method: Method, cases: pl.DataFrame, candidates: Sequence[Sequence[Request]]
    ) -> Chosen:
        """The pictures of one method, in the order of the cases.

        Args:
            method: How they were made.
            cases: What they answer.
            candidates: Rendered requests of each case, as `screened` tells them.
        """
        rows = cases.to_dicts()
        if method.kind == "original":
            places = self.items.rows([row[method.artwork] for row in rows])
            return Chosen(self.items.images[places], np.full(len(rows), np.nan))
        images = np.stack([self.studio.picture(r) for requests in candidates for r in requests])
        ends = np.cumsum([len(requests) for requests in candidates])[:-1]
        if method.kind == "round_trip":
            return Chosen(images, np.full(len(rows), np.nan))
        # All at once: the encoder works in batches of one size and fills up what is short.
        seen = np.split(self.encoder.encode_images(images), ends)
        shown = np.split(images, ends)
        picked = [self._pick(method, *case) for case in zip(rows, shown, seen, strict=True)]
        rejected = np.array([fault for _, fault in picked], dtype=np.float64)
        return Chosen(np.stack([image for image, _ in picked]), rejected)

    def _pick(
        self,
        method: Method,
        case: Mapping[str, Any],
        images: Images,
        seen: NDArray[np.float32],
    ) -> tuple[Images, float]:
        """The picture of one case, and 1 if the gate refuses all of its candidates."""
        scores = self._scores(seen, case, method.history(case))
        reference = self.items.images[self.items.rows([case["reference_id"]])[0]]
        order = np.argsort(-scores["selection_score"], kind="stable")
        for place in order:
            told = {name: float(values[place]) for name, values in scores.items()}
            if check_quality(images[place], told, self.settings.gate, reference=reference) is None:
                return images[place], 0.0
        return images[order[0]], 1.0

    def _scores(
        self, drawn: NDArray[np.float32], case: Mapping[str, Any], history: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """Scores `[candidates]` under the names that the gate knows."""
        known = self.items.vectors("cis")
        text = self.texts[case["reference_id"]]
        past = known[self.items.rows(history)]
        return picture_scores(drawn, text, past, known[self.items.rows([case["reference_id"]])])
