"""Metrics of one method's pictures: one value per case and metric.

Similarity is measured to the truth (no prefix), to the five history pictures (`hist_`), to ten
random pictures of the user (`user_`, which favours no way of choosing a history) and to the
reference (`ref_`). Which metrics there are depends on the case: not every one has a known truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.evaluation.encoders import Encoder
from pigeon_rec.evaluation.judges import CHOICES, Judges
from pigeon_rec.scoring import clip_text_score, history_similarity, row_cosine

__all__ = ["FEATURES", "LOWER_IS_BETTER", "METRICS", "MetricSuite", "PairDistance"]

_TOLERANCE: Final = 1e-6

Images = NDArray[np.uint8]
Values = NDArray[np.float64]
PairDistance = Callable[[Images, Images], Values]
"""Two batches uint8 `[n, side, side, 3]` -> one value per pair."""

METRICS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "style_hit": "style judge: the picture has the user's style",
        "concept_hit": "concept judge: the target ranks first among 100 concepts",
        "both_hit": "style hit and concept hit",
        "item_hit": "item judge: the target ranks first among 100 items",
        "text_hit": "scorer: the target's text ranks first among 100 texts",
        "user_hit": "judge features: the user's pictures rank first among those of 100 users",
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
        "user_eis": "cosine of EfficientNet features to the user's pictures",
        "ref_cis": "scorer cosine to the reference",
        "ref_jis": "cosine of judge features to the reference",
        "ref_eis": "cosine of EfficientNet features to the reference",
        "copies_reference": "collapse: the target in the reference's style; without styles, as "
        "like the reference as that is after tokenizer and renderer",
        "lost_target": "collapse: no concept hit, or no item hit",
        "collapse": "a copy of the reference, or the target is lost",
        "rejected": "no candidate passes the quality gate",
    }
)
"""Metric -> its meaning, in the order of the tables."""

LOWER_IS_BETTER: Final = frozenset(
    {"lpips", "hist_lpips", "copies_reference", "lost_target", "collapse", "rejected"}
)

FEATURES: Final = "jis"
"""The entry of the encoders that makes the judge features."""


class Pictured(Protocol):
    """Items with pictures, such as `pigeon_rec.drawing.items.ItemTable`."""

    images: Images
    """uint8 `[items, side, side, 3]`."""

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Rows of items in the arrays."""


@dataclass(frozen=True)
class MetricSuite:
    """Computes all metrics of a method's pictures; what has no meaning for a case is NaN.

    Attributes:
        judges: Judges of the catalogue.
        encoders: Metric -> image encoder.
        distances: Metric -> pairwise measure.
        items: Pictures of all items of the cases.
        vectors: Metric -> unit vectors of the items, float32 `[items, d]`.
        text_encoder: The entry of `encoders` whose space the texts share.
        texts: Item id -> unit vector of its text.
        styles: Item id -> its style, for references.
        users: User id -> mean judge features of the user's pictures.
        copies: Item id -> likeness of a reference's judge features to themselves after tokenizer
            and renderer; needed where there is no style judge.
    """

    judges: Judges
    encoders: Mapping[str, Encoder]
    distances: Mapping[str, PairDistance]
    items: Pictured
    vectors: Mapping[str, NDArray[np.float32]]
    text_encoder: str
    texts: Mapping[str, NDArray[np.float32]]
    styles: Mapping[str, str | None] = field(default_factory=dict)
    users: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    copies: Mapping[str, float] = field(default_factory=dict)

    def measure(self, pictures: Images, cases: pl.DataFrame) -> dict[str, Values]:
        """Returns metric -> one value per case, float64 `[n]`.

        Args:
            pictures: uint8 `[n, side, side, 3]`, one per case.
            cases: `CASE_SCHEMA` and `random_ids`.
        """
        rows = cases.to_dicts()
        encoded = {name: encoder(pictures) for name, encoder in self.encoders.items()}
        values: dict[str, Values] = {}
        for name, vectors in encoded.items():
            values |= self._similarities(name, vectors, rows)
        values |= self._hits(pictures, rows, values)
        vectors = encoded[self.text_encoder]
        texts = np.stack([self.texts[row["reference_id"]] for row in rows])
        values["cs"] = clip_text_score(vectors, texts)
        values["text_hit"] = self._text_hits(vectors, texts, rows)
        if FEATURES in encoded and len(self.users) > 1:
            values["user_hit"] = self._user_hits(encoded[FEATURES], rows)
        for name, distance in self.distances.items():
            values |= self._distances(name, distance, pictures, rows)
        return values

    def _hits(
        self, pictures: Images, rows: Sequence[Mapping[str, Any]], known: Mapping[str, Values]
    ) -> dict[str, Values]:
        hits: dict[str, NDArray[Any]] = {}
        content, found = self.judges.content, np.zeros(len(rows), np.bool_)
        if content is not None:
            of_concept = self.judges.concept is not None
            named = [row["concept"] if of_concept else row["reference_id"] for row in rows]
            keys = [row["case_id"] for row in rows]
            found = self.judges.concept_hits(content.embed(pictures), named, keys)
            judged = content.codes([name or "" for name in named]) >= 0
            kind = "concept_hit" if of_concept else "item_hit"
            hits |= {kind: _where(judged, found), "lost_target": _where(judged, ~found)}
        copied = self._copies(rows, known)
        if self.judges.style is not None:
            styles = np.array(self.judges.styles(self.judges.style.embed(pictures)), dtype=object)
            wanted = np.array([row["style"] for row in rows], dtype=object)
            has = np.array([name is not None for name in wanted])
            hits["style_hit"] = _where(has, styles == wanted)
            if "concept_hit" in hits:
                hits["both_hit"] = hits["style_hit"] * hits["concept_hit"]
            shown = np.array([self._style_of(row["reference_id"]) for row in rows], dtype=object)
            has = np.array([name is not None for name in shown])
            copied = np.where(has, styles == shown, copied)
        if content is not None and np.isfinite(copied).any():
            hits["copies_reference"] = _where(np.isfinite(copied), (copied == 1.0) & found)
            either = np.fmax(copied, hits["lost_target"])
            hits["collapse"] = _where(
                np.isfinite(copied) & np.isfinite(hits["lost_target"]), either
            )
        return {name: np.asarray(hit, dtype=np.float64) for name, hit in hits.items()}

    def _style_of(self, item_id: str) -> str | None:
        return self.styles.get(item_id)

    def _copies(self, rows: Sequence[Mapping[str, Any]], known: Mapping[str, Values]) -> Values:
        """1 where a picture is as like its reference as a mere copy is, else 0; NaN if unknown."""
        if not self.copies or f"ref_{FEATURES}" not in known:
            return np.full(len(rows), np.nan)
        limits = np.array([self.copies.get(row["reference_id"], np.nan) for row in rows])
        like = known[f"ref_{FEATURES}"] >= limits - _TOLERANCE
        return np.where(np.isfinite(limits), like.astype(np.float64), np.nan)

    def _text_hits(
        self, vectors: NDArray[np.float32], own: NDArray[np.float32],
        rows: Sequence[Mapping[str, Any]],
    ) -> Values:  # fmt: skip
        """Whether the own text ranks first among those of at most 99 other items."""
        items = sorted(self.texts)
        every = np.stack([self.texts[item] for item in items])
        hits = np.full(len(rows), np.nan)
        for row, case in enumerate(rows):
            # Another item's equal text is no rival.
            apart = np.flatnonzero(every @ own[row] < 1.0 - _TOLERANCE)
            rivals = _some(apart, f"texts/{case['case_id']}")
            if len(rivals):
                scores = clip_text_score(vectors[row], every[rivals])
                hits[row] = clip_text_score(vectors[row], own[row]) > scores.max()
        return hits

    def _user_hits(self, vectors: NDArray[np.float32], rows: Sequence[Mapping[str, Any]]) -> Values:
        """Whether the user's pictures are nearer than those of at most 99 other users."""
        users = sorted(self.users)
        every = np.stack([self.users[user] for user in users])
        hits = np.zeros(len(rows))
        for row, case in enumerate(rows):
            own = users.index(case["user_id"])
            others = np.delete(np.arange(len(users)), own)
            rivals = _some(others, f"users/{case['case_id']}")
            near = every @ vectors[row]
            hits[row] = near[own] > near[rivals].max()
        return hits

    def _similarities(
        self, name: str, vectors: NDArray[np.float32], rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, Values]:
        known = self.vectors[name]

        def mean(column: str) -> Values:
            lists = [known[self.items.rows(row[column])] for row in rows]
            pairs = zip(vectors, lists, strict=True)
            return np.array([float(history_similarity(one, many)) for one, many in pairs])

        reference = known[self.items.rows([row["reference_id"] for row in rows])]
        found = {
            f"hist_{name}": mean("history_ids"),
            f"user_{name}": mean("random_ids"),
            f"ref_{name}": row_cosine(vectors, reference),
        }
        with_truth, truth = self._truths(rows)
        if len(truth):
            cosines = np.full(len(rows), np.nan)
            cosines[with_truth] = row_cosine(vectors[with_truth], known[truth])
            found[name] = cosines
        return found

    def _truths(
        self, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Cases whose truth is known, and its rows in the arrays of items."""
        known = [row for row, case in enumerate(rows) if case["truth_id"] is not None]
        return np.array(known, np.int64), self.items.rows([rows[row]["truth_id"] for row in known])

    def _distances(
        self,
        name: str,
        distance: PairDistance,
        pictures: Images,
        rows: Sequence[Mapping[str, Any]],
    ) -> dict[str, Values]:
        images = self.items.images
        past = [self.items.rows(row["history_ids"]) for row in rows]
        lengths = np.array([len(items) for items in past])
        each = distance(np.repeat(pictures, lengths, axis=0), images[np.concatenate(past)])
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        found = {f"hist_{name}": np.add.reduceat(each, starts) / lengths}
        with_truth, truth = self._truths(rows)
        if len(truth):
            apart = np.full(len(rows), np.nan)
            apart[with_truth] = distance(pictures[with_truth], images[truth])
            found[name] = apart
        return found


def _where(known: NDArray[np.bool_], values: NDArray[Any]) -> Values:
    """Values as numbers, NaN where they are not known."""
    return np.where(known, values.astype(np.float64), np.nan)


def _some(rows: NDArray[np.int64], key: str) -> NDArray[np.int64]:
    """At most 99 of the rows, the same for every method."""
    if len(rows) < CHOICES:
        return rows
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).choice(rows, CHOICES - 1, replace=False)
