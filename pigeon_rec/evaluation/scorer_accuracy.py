"""Accuracy of a scorer on real artwork that it was not trained on.

The scorer's embeddings are used to retrieve histories, to choose among candidates and in the
quality gate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.world import load_world, topics
from pigeon_rec.evaluation.judges import CHOICES
from pigeon_rec.scoring import row_cosine
from pigeon_rec.scoring.scorer import Scorer

__all__ = ["ScorerAccuracy", "scorer_accuracy"]

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ScorerAccuracy:
    """Shares, in [0, 1], over the real held-out stickers.

    Attributes:
        pictures: Number of held-out stickers.
        style_by_text: The right style description is nearest.
        style_by_neighbour: The nearest training sticker has the same style.
        topic_by_neighbour: The nearest training sticker of another concept has the same topic.
        concept_by_text: The sticker's own text is nearest among 100 texts.
        own_text_passes: The sticker passes the gate's text score with its own text.
        wrong_text_passes: It passes with the text of another concept.
    """

    pictures: int
    style_by_text: float
    style_by_neighbour: float
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
    own = row_cosine(queries, texts)
    others = np.einsum("nd,nkd->nk", queries, texts[wrong])
    names = np.array(list(world.style_descriptions))
    described = scorer.encode_texts(list(world.style_descriptions.values()))
    return ScorerAccuracy(
        pictures=len(tested),
        style_by_text=_share(names[(queries @ described.T).argmax(1)] == style[tested]),
        style_by_neighbour=_share(style[known][near.argmax(1)] == style[tested]),
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


def _share(hits: NDArray[np.bool_]) -> float:
    return float(np.mean(hits))
