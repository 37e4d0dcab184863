"""Metrics of one method's pictures: one value per case and metric.

Similarity is measured to the truth (no prefix), to the five history pictures (`hist_`) and to ten
random pictures of the user (`user_`, which favours no way of choosing a history).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.evaluation.encoders import Encoder
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.scoring import clip_text_score, history_similarity, row_cosine

__all__ = ["LOWER_IS_BETTER", "METRICS", "MetricSuite", "PairDistance"]

Images = NDArray[np.uint8]
Values = NDArray[np.float64]
PairDistance = Callable[[Images, Images], Values]
"""Two batches uint8 `[n, 64, 64, 3]` -> one value per pair."""

METRICS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "style_hit": "style judge: the picture has the user's style",
        "concept_hit": "concept judge: the target ranks first among 100 concepts",
        "both_hit": "style hit and concept hit",
        "cs": "CS: scorer cosine of picture and target text",
        "cis": "CIS: scorer cosine to the truth",
        "jis": "cosine of judge features to the truth",
        "eis": "cosine of EfficientNet features to the truth",
        "lpips": "shift-tolerant LPIPS to the truth",
        "ms_ssim": "MS-SSIM to the truth",
        "hist_cis": "scorer cosine to the history",
        "hist_jis": "cosine of judge features to the history",
        "hist_eis": "cosine of EfficientNet features to the history",
        "hist_lpips": "shift-tolerant LPIPS to the history",
        "hist_ms_ssim": "MS-SSIM to the history",
        "user_cis": "scorer cosine to the user's pictures",
        "user_jis": "cosine of judge features to the user's pictures",
        "copies_reference": "collapse: the target in the reference's style",
        "lost_target": "collapse: no concept hit",
        "collapse": "the reference's style, or no concept hit",
        "rejected": "no candidate passes the quality gate",
    }
)
"""Metric -> its meaning, in the order of the tables."""

LOWER_IS_BETTER: Final = frozenset(
    {"lpips", "hist_lpips", "copies_reference", "lost_target", "collapse", "rejected"}
)


class Pictured(Protocol):
    """Items with pictures, such as `pigeon_rec.drawing.items.ItemTable`."""

    images: Images
    """uint8 `[items, 64, 64, 3]`."""

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Rows of items in the arrays."""


@dataclass(frozen=True)
class MetricSuite:
    """Computes all metrics of a method's pictures.

    Attributes:
        judges: Judges of style and concept.
        encoders: Metric -> image encoder.
        distances: Metric -> pairwise measure.
        items: Pictures of all items of the cases.
        vectors: Metric -> unit vectors of the items, float32 `[items, d]`.
        text_encoder: The entry of `encoders` whose space the texts share.
        texts: Item id -> unit vector of its text.
    """

    judges: Judges
    encoders: Mapping[str, Encoder]
    distances: Mapping[str, PairDistance]
    items: Pictured
    vectors: Mapping[str, NDArray[np.float32]]
    text_encoder: str
    texts: Mapping[str, NDArray[np.float32]]

    def measure(self, pictures: Images, cases: pl.DataFrame) -> dict[str, Values]:
        """Returns metric -> one value per case, float64 `[n]`.

        Args:
            pictures: uint8 `[n, 64, 64, 3]`, one per case.
            cases: `CASE_SCHEMA` and `random_ids`.
        """
        rows = cases.to_dicts()
        encoded = {name: encoder(pictures) for name, encoder in self.encoders.items()}
        values = self._hits(pictures, rows)
        texts = np.stack([self.texts[row["reference_id"]] for row in rows])
        values["cs"] = clip_text_score(encoded[self.text_encoder], texts)
        for name, vectors in encoded.items():
            values |= self._similarities(name, vectors, rows)
        for name, distance in self.distances.items():
            values |= self._distances(name, distance, pictures, rows)
        return values

    def _hits(self, pictures: Images, rows: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
        styles = np.array(self.judges.styles(self.judges.style.embed(pictures)))
        concept = self.judges.concept_hits(
            self.judges.concept.embed(pictures),
            [row["concept"] for row in rows],
            [row["case_id"] for row in rows],
        )
        style = styles == np.array([row["style"] for row in rows])
        # An item id begins with its style.
        copied = styles == np.array([row["reference_id"].partition("/")[0] for row in rows])
        hits = {
            "style_hit": style,
            "concept_hit": concept,
            "both_hit": style & concept,
            "copies_reference": copied & concept,
            "lost_target": ~concept,
            "collapse": copied | ~concept,
        }
        return {name: hit.astype(np.float64) for name, hit in hits.items()}

    def _similarities(
        self, name: str, vectors: NDArray[np.float32], rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, Values]:
        known = self.vectors[name]

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

    def _distances(
        self,
        name: str,
        distance: PairDistance,
        pictures: Images,
        rows: Sequence[Mapping[str, Any]],
    ) -> dict[str, Values]:
        images = self.items.images
        truth = images[self.items.rows([row["truth_id"] for row in rows])]
        past = [self.items.rows(row["history_ids"]) for row in rows]
        lengths = np.array([len(items) for items in past])
        each = distance(np.repeat(pictures, lengths, axis=0), images[np.concatenate(past)])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        return {
            name: distance(pictures, truth),
            f"hist_{name}": np.add.reduceat(each, starts) / lengths,
        }
