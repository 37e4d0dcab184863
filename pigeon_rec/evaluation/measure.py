"""Numbers of one method's pictures, one a case and metric.

Likeness is told to the truth (no prefix), to the five history pictures (`hist_`) and to any ten of
the user's own pictures (`user_`, which favours no way of choosing a history).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.evaluation.encoders import Eye, ItemViews
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.scoring import clip_text_score, history_similarity, row_cosine

__all__ = ["LOWER_IS_BETTER", "METRICS", "PairDistance", "Ruler"]

Images = NDArray[np.uint8]
Values = NDArray[np.float64]
PairDistance = Callable[[Images, Images], Values]
"""Two batches uint8 `[n, 64, 64, 3]` -> one value a pair."""

METRICS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "style_hit": "the style judge sees the user's style",
        "concept_hit": "the concept judge finds the target among 100 concepts",
        "both_hit": "both at once",
        "cs": "CS: scorer, picture and target text",
        "cis": "CIS: scorer, to the truth",
        "jis": "judge features, to the truth",
        "eis": "EfficientNet features, to the truth",
        "lpips": "shift-tolerant LPIPS, to the truth",
        "ms_ssim": "MS-SSIM, to the truth",
        "hist_cis": "CIS to the history",
        "hist_jis": "judge features, to the history",
        "hist_eis": "EfficientNet features, to the history",
        "hist_lpips": "shift-tolerant LPIPS, to the history",
        "hist_ms_ssim": "MS-SSIM, to the history",
        "user_cis": "CIS to the user's pictures",
        "user_jis": "judge features, to the user's pictures",
        "copies_reference": "collapse: the target in the reference's style",
        "lost_target": "collapse: the target is not found",
        "collapse": "either collapse",
        "rejected": "the quality gate would not serve it",
    }
)
"""Every metric and what it means, in the order of the tables."""

LOWER_IS_BETTER: Final = frozenset(
    {"lpips", "hist_lpips", "copies_reference", "lost_target", "collapse", "rejected"}
)


@dataclass(frozen=True)
class Ruler:
    """Everything pictures are measured with.

    Attributes:
        judges: Style and concept.
        eyes: By the name of their metric.
        distances: Pairwise measures, by the name of their metric.
        items: All items of the cases, seen by all eyes.
        text_eye: The eye whose space the texts share.
        texts: Unit vectors of each item's text, by item id.
    """

    judges: Judges
    eyes: Mapping[str, Eye]
    distances: Mapping[str, PairDistance]
    items: ItemViews
    text_eye: str
    texts: Mapping[str, NDArray[np.float32]]

    def measure(self, pictures: Images, cases: pl.DataFrame) -> dict[str, Values]:
        """Metric -> one value a case, float64 `[n]`.

        Args:
            pictures: uint8 `[n, 64, 64, 3]`, one a case.
            cases: `CASE_SCHEMA` and `random_ids`.
        """
        rows = cases.to_dicts()
        seen = {name: eye(pictures) for name, eye in self.eyes.items()}
        values = self._verdicts(pictures, rows)
        texts = np.stack([self.texts[row["reference_id"]] for row in rows])
        values["cs"] = clip_text_score(seen[self.text_eye], texts)
        for name, vectors in seen.items():
            values |= self._likeness(name, vectors, rows)
        for name, distance in self.distances.items():
            values |= self._apart(name, distance, pictures, rows)
        return values

    def _verdicts(self, pictures: Images, rows: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
        styles = np.array(self.judges.styles(self.judges.style.embed(pictures)))
        concept = self.judges.concept_hits(
            self.judges.concept.embed(pictures),
            [row["concept"] for row in rows],
            [row["case_id"] for row in rows],
        )
        style = styles == np.array([row["style"] for row in rows])
        # An item id begins with its style.
        copied = styles == np.array([row["reference_id"].partition("/")[0] for row in rows])
        verdicts = {
            "style_hit": style,
            "concept_hit": concept,
            "both_hit": style & concept,
            "copies_reference": copied & concept,
            "lost_target": ~concept,
            "collapse": copied | ~concept,
        }
        return {name: verdict.astype(np.float64) for name, verdict in verdicts.items()}

    def _likeness(
        self, name: str, vectors: NDArray[np.float32], rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, Values]:
        known = self.items.vectors(name)

        def mean(column: str) -> Values:
            lists = [known[self.items.rows(row[column])] for row in rows]
            pairs = zip(vectors, lists, strict=True)
            return np.array([float(history_similarity(one, many)) for one, many in pairs])

        truth = known[self.items.rows([row["truth_id"] for row in rows])]
        return {
            name: row_cosine(vectors, truth),
            f"hist_{name}": mean("history_ids"),
            f"user_{name}": mean("random_ids"),
        }

    def _apart(
        self,
        name: str,
        distance: PairDistance,
        pictures: Images,
        rows: Sequence[Mapping[str, Any]],
    ) -> dict[str, Values]:
        images = self.items.images
        truth = images[self.items.rows([row["truth_id"] for row in rows])]
        past = [self.items.rows(row["history_ids"]) for row in rows]
        lengths = np.array([len(places) for places in past])
        each = distance(np.repeat(pictures, lengths, axis=0), images[np.concatenate(past)])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        return {
            name: distance(pictures, truth),
            f"hist_{name}": np.add.reduceat(each, starts) / lengths,
        }
