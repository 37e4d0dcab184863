"""Accuracy of a scorer on real artwork that it was not trained on.

The scorer's embeddings are used to retrieve histories, to choose among candidates and in the
quality gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.data.dataset import Dataset, load_dataset
from pigeon_rec.data.world import topics
from pigeon_rec.drawing.texts import described_texts
from pigeon_rec.evaluation.judges import CHOICES
from pigeon_rec.scoring import clip_text_score, history_similarity
from pigeon_rec.scoring.scorer import Scorer

__all__ = ["ScorerAccuracy", "scorer_accuracy"]

Vectors = NDArray[np.float32]
Labels = NDArray[np.object_]

_HISTORY: Final = 5
_MOST: Final = 12_000
"""Artworks that are embedded, held-out ones first."""
_EMBEDDED: Final = 1024


@dataclass(frozen=True)
class ScorerAccuracy:
    """Shares, in [0, 1], over the real held-out artwork; None where the catalogue has no labels.

    Attributes:
        pictures: Number of held-out artworks.
        style_by_text: The right style description is nearest.
        style_by_neighbour: The nearest training artwork has the same style.
        style_by_history: Of the concept's artwork in all styles, the artwork is most similar to
            five training artworks of its style.
        topic_by_neighbour: The nearest training artwork of another concept has the same topic.
        concept_by_text: The artwork's own text is nearest among 100 texts.
        own_text_passes: The artwork passes the gate's text score with its own text.
        wrong_text_passes: It passes with the text of another concept.
        lowest_own_text: The text score that 95 % of the artwork exceeds with its own text.
    """

    pictures: int
    style_by_text: float | None
    style_by_neighbour: float | None
    style_by_history: float | None
    topic_by_neighbour: float | None
    concept_by_text: float
    own_text_passes: float
    wrong_text_passes: float
    lowest_own_text: float


@dataclass(frozen=True)
class _Artwork:
    """Embedded artwork, the held-out part first named by `tested`.

    Attributes:
        vectors: Unit vectors `[n, d]`.
        style: Names `[n]`, None without one.
        concept: Names `[n]`; an item without a concept has a name of its own.
        topic: Names `[n]`.
        texts: What each shows, in words.
        tested: Rows that are held out.
        known: The other rows.
    """

    vectors: Vectors
    style: Labels
    concept: Labels
    topic: Labels
    texts: list[str]
    tested: NDArray[np.int64]
    known: NDArray[np.int64]


def scorer_accuracy(
    scorer: Scorer,
    gate: QualityGateConfig | None = None,
    data: Dataset | None = None,
    side: int = 64,
) -> ScorerAccuracy:
    """Measures a scorer on held-out artwork, with training artwork as neighbours.

    Args:
        scorer: The scorer.
        gate: Sets the minimum text score; the limit of the bundled stickers by default.
        data: The catalogue; the bundled stickers by default.
        side: Side of the pictures in pixels, as the scorer sees them.
    """
    data = data or load_dataset()
    limit = (gate or QualityGateConfig()).min_text_score
    artwork = _embedded(data, scorer, side)
    tested, known = artwork.tested, artwork.known
    queries = artwork.vectors[tested]
    texts = scorer.encode_texts([artwork.texts[row] for row in tested])
    wrong = _wrong_texts(artwork.concept[tested])
    own = clip_text_score(queries, texts)
    others = clip_text_score(queries[:, None], texts[wrong])
    near = queries @ artwork.vectors[known].T
    apart = artwork.concept[tested, None] == artwork.concept[None, known]
    other = np.where(apart, -2.0, near)
    styled = np.array([name is not None for name in artwork.style[tested]])
    style = artwork.style[tested][styled]
    return ScorerAccuracy(
        pictures=len(tested),
        style_by_text=_style_by_text(data, scorer, queries[styled], style),
        style_by_neighbour=_share(artwork.style[known][near[styled].argmax(1)] == style),
        style_by_history=_style_by_history(artwork, tested[styled]),
        topic_by_neighbour=_topic_by_neighbour(artwork, other),
        concept_by_text=float(np.mean(own > others.max(1))),
        own_text_passes=float(np.mean(own >= limit)),
        wrong_text_passes=float(np.mean(others[:, 0] >= limit)),
        lowest_own_text=float(np.quantile(own, 0.05)),
    )


def _embedded(data: Dataset, scorer: Scorer, side: int) -> _Artwork:
    """Embeds what can be read."""
    items = data.items
    if items.height > _MOST:
        first = items.sort(~pl.col("held_out"), maintain_order=True).head(_MOST)
        items = items.join(first, on="item_id", how="semi", maintain_order="left")
    item_ids, parts, broken = items["item_id"].to_list(), [], set()
    for start in range(0, len(item_ids), _EMBEDDED):
        images, problems = data.catalogue.images(item_ids[start : start + _EMBEDDED], side)
        parts.append(scorer.encode_images(images))
        broken |= {problem.subject for problem in problems}
    usable = ~items["item_id"].is_in(list(broken))
    kept, vectors = items.filter(usable), np.concatenate(parts)[usable.to_numpy()]
    rows = data.catalogue.rows(kept["item_id"].to_list())
    held_out = kept["held_out"].to_numpy()
    return _Artwork(
        vectors=vectors,
        style=np.array(kept["style"].to_list(), dtype=object),
        concept=kept.select(pl.coalesce("concept", "item_id")).to_series().to_numpy(),
        topic=topics(rows).to_numpy(),
        texts=described_texts(rows),
        tested=np.flatnonzero(held_out),
        known=np.flatnonzero(~held_out),
    )


def _wrong_texts(concepts: Labels) -> NDArray[np.int64]:
    """Random rows of other concepts, int64 `[n, k]`, from a fixed seed; k is 99 at most."""
    random = np.random.default_rng(0)
    most = max(np.unique(concepts.astype(str), return_counts=True)[1])
    count = min(CHOICES - 1, len(concepts) - int(most))
    rows = [
        random.choice(np.flatnonzero(concepts != concept), count, replace=False)
        for concept in concepts
    ]
    return np.stack(rows)


def _style_by_text(data: Dataset, scorer: Scorer, queries: Vectors, style: Labels) -> float | None:
    if not len(style):
        return None
    names = np.array(list(data.style_descriptions))
    described = scorer.encode_texts(list(data.style_descriptions.values()))
    nearest = clip_text_score(queries[:, None], described[None]).argmax(1)
    return _share(names[nearest] == style)


def _topic_by_neighbour(artwork: _Artwork, near: NDArray[np.float64]) -> float | None:
    if len(set(artwork.topic)) < 2:
        return None
    return _share(artwork.topic[artwork.known][near.argmax(1)] == artwork.topic[artwork.tested])


def _style_by_history(artwork: _Artwork, tested: NDArray[np.int64]) -> float | None:
    """As `ScorerAccuracy.style_by_history`, of the rows with rivals and enough of their style."""
    random = np.random.default_rng(0)
    vectors, style, concept = artwork.vectors, artwork.style, artwork.concept
    of_style = {name: artwork.known[style[artwork.known] == name] for name in set(style[tested])}
    hits = []
    for row in tested:
        rivals = np.flatnonzero((concept == concept[row]) & (style != style[row]))
        if not len(rivals) or len(of_style[style[row]]) < _HISTORY:
            continue
        history = vectors[random.choice(of_style[style[row]], _HISTORY, replace=False)]
        likeness = history_similarity(vectors[np.append(row, rivals)], history[None])
        hits.append(likeness.argmax() == 0)
    return _share(np.array(hits))


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(np.mean(hits)) if len(hits) else None
