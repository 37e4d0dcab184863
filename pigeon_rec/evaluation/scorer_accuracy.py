"""Accuracy of a scorer on real artwork that it was not trained on.

The scorer's embeddings are used to retrieve histories, to choose among candidates and in the
quality gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.world import load_world, topics
from pigeon_rec.evaluation.judges import CHOICES
from pigeon_rec.scoring import clip_text_score, history_similarity
from pigeon_rec.scoring.scorer import Scorer

__all__ = ["ScorerAccuracy", "scorer_accuracy"]

Vectors = NDArray[np.float32]

_HISTORY: Final = 5


@dataclass(frozen=True)
class ScorerAccuracy:
    """Shares, in [0, 1], over the real held-out stickers.

    Attributes:
        pictures: Number of held-out stickers.
        style_by_text: The right style description is nearest.
        style_by_neighbour: The nearest training sticker has the same style.
        style_by_history: Of the concept's stickers in all styles, the sticker is most similar to
            five training stickers of its style.
        topic_by_neighbour: The nearest training sticker of another concept has the same topic.
        concept_by_text: The sticker's own text is nearest among 100 texts.
        own_text_passes: The sticker passes the gate's text score with its own text.
        wrong_text_passes: It passes with the text of another concept.
    """

    pictures: int
    style_by_text: float
    style_by_neighbour: float
    style_by_history: float
    topic_by_neighbour: float
    concept_by_text: float
    own_text_passes: float
    wrong_text_passes: float


def scorer_accuracy(scorer: Scorer, gate: QualityGateConfig | None = None) -> ScorerAccuracy:
    """Measures a scorer on every held-out sticker, with the training stickers as neighbours.

    `gate` sets the minimum text score.
    """
    limit = (gate or QualityGateConfig()).min_text_score
    world = load_world("bundled")
    rows = world.artwork()
    images, _ = load_catalogue("bundled").images(rows["item_id"].to_list(), size=64)
    vectors = scorer.encode_images(images)
    held_out = rows["held_out"].to_numpy()
    style, concept = rows["style"].to_numpy(), rows["concept"].to_numpy()
    topic = topics(rows).to_numpy()
    tested, known = np.flatnonzero(held_out), np.flatnonzero(~held_out)
    queries = vectors[tested]
    near = queries @ vectors[known].T
    other = np.where(concept[tested, None] == concept[None, known], -2.0, near)
    texts = scorer.encode_texts(rows["semantics"].gather(tested).to_list())
    wrong = _wrong_texts(concept[tested])
    own = clip_text_score(queries, texts)
    others = clip_text_score(queries[:, None], texts[wrong])
    names = np.array(list(world.style_descriptions))
    described = scorer.encode_texts(list(world.style_descriptions.values()))
    by_description = clip_text_score(queries[:, None], described[None])
    return ScorerAccuracy(
        pictures=len(tested),
        style_by_text=_share(names[by_description.argmax(1)] == style[tested]),
        style_by_neighbour=_share(style[known][near.argmax(1)] == style[tested]),
        style_by_history=_style_by_history(vectors, style, concept, tested, known),
        topic_by_neighbour=_share(topic[known][other.argmax(1)] == topic[tested]),
        concept_by_text=_share(own > others.max(1)),
        own_text_passes=_share(own >= limit),
        wrong_text_passes=_share(others[:, 0] >= limit),
    )


def _wrong_texts(concepts: NDArray[np.object_]) -> NDArray[np.int64]:
    """Random rows of other concepts, int64 `[n, CHOICES - 1]`, from a fixed seed."""
    random = np.random.default_rng(0)
    rows = [
        random.choice(np.flatnonzero(concepts != concept), CHOICES - 1, replace=False)
        for concept in concepts
    ]
    return np.stack(rows)


def _style_by_history(
    vectors: Vectors,
    style: NDArray[np.object_],
    concept: NDArray[np.object_],
    tested: NDArray[np.int64],
    known: NDArray[np.int64],
) -> float:
    """As `ScorerAccuracy.style_by_history`, for the rows `tested`, histories from `known`."""
    random = np.random.default_rng(0)
    of_style = {name: known[style[known] == name] for name in np.unique(style)}
    hits = []
    for row in tested:
        history = vectors[random.choice(of_style[style[row]], _HISTORY, replace=False)]
        rivals = np.flatnonzero((concept == concept[row]) & (style != style[row]))
        likeness = history_similarity(vectors[np.append(row, rivals)], history[None])
        hits.append(likeness.argmax() == 0)
    return _share(np.array(hits))


def _share(hits: NDArray[np.bool_]) -> float:
    return float(np.mean(hits))
