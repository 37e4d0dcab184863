"""What a scorer knows of real artwork that it was not trained on.

The scorer finds histories, chooses among candidates and feeds the quality gate; what it cannot see,
none of them can.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import QualityGateConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.world import load_world, topics
from pigeon_rec.evaluation.judges import CANDIDATES
from pigeon_rec.scoring import row_cosine
from pigeon_rec.scoring.scorer import Scorer, load_scorer

__all__ = ["ScorerAccuracy", "accuracy_of_model", "scorer_accuracy"]

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ScorerAccuracy:
    """Shares, in [0, 1], over the real held-out stickers.

    Attributes:
        pictures: Held-out stickers looked at.
        style_by_text: The right one of all style descriptions is nearest.
        style_by_neighbour: The nearest sticker of the training set has the style.
        topic_by_neighbour: The nearest sticker of the training set of another concept has the
            topic.
        concept_by_text: The sticker's own text is nearest among as many as the judges face.
        own_text_passes: The gate lets the sticker pass with its own text.
        wrong_text_passes: The gate lets it pass with the text of another concept.
    """

    pictures: int
    style_by_text: float
    style_by_neighbour: float
    topic_by_neighbour: float
    concept_by_text: float
    own_text_passes: float
    wrong_text_passes: float

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def accuracy_of_model(model: str | Path) -> ScorerAccuracy:
    """`scorer_accuracy` of a bundled model's scorer, or a saved one's, with a night's gate.

    Raises:
        ModelError: There is no such model, or it has no scorer.
    """
    return scorer_accuracy(load_scorer(model))


def scorer_accuracy(scorer: Scorer, gate: QualityGateConfig | None = None) -> ScorerAccuracy:
    """Shows a scorer every real held-out sticker, and the others as neighbours.

    Args:
        scorer: Image and text encoder.
        gate: Has the limit of text scores; by default a night's.
    """
    limit = (gate or QualityGateConfig()).min_text_score
    world = load_world("bundled")
    rows = world.artwork()
    images, _ = load_catalogue("bundled").images(rows["item_id"].to_list(), size=64)
    seen = scorer.encode_images(images)
    held_out = rows["held_out"].to_numpy()
    style, concept = rows["style"].to_numpy(), rows["concept"].to_numpy()
    topic = topics(rows).to_numpy()
    asked = np.flatnonzero(held_out)
    drawn = seen[asked]
    known = np.flatnonzero(~held_out)
    near = drawn @ seen[known].T
    other = np.where(concept[asked, None] == concept[None, known], -2.0, near)
    texts = scorer.encode_texts(rows["semantics"].gather(asked).to_list())
    wrong = _wrong_texts(concept[asked])
    own = row_cosine(drawn, texts)
    others = np.einsum("nd,nkd->nk", drawn, texts[wrong])
    names = np.array(list(world.style_descriptions))
    described = scorer.encode_texts(list(world.style_descriptions.values()))
    return ScorerAccuracy(
        pictures=len(asked),
        style_by_text=_share(names[(drawn @ described.T).argmax(1)] == style[asked]),
        style_by_neighbour=_share(style[known][near.argmax(1)] == style[asked]),
        topic_by_neighbour=_share(topic[known][other.argmax(1)] == topic[asked]),
        concept_by_text=_share(own > others.max(1)),
        own_text_passes=_share(own >= limit),
        wrong_text_passes=_share(others[:, 0] >= limit),
    )


def _wrong_texts(concepts: NDArray[np.object_]) -> NDArray[np.int64]:
    """Rows of other concepts, int64 `[n, CANDIDATES - 1]`, the same in every run."""
    random = np.random.default_rng(0)
    rows = [
        random.choice(np.flatnonzero(concepts != concept), CANDIDATES - 1, replace=False)
        for concept in concepts
    ]
    return np.stack(rows)


def _share(hits: NDArray[np.bool_]) -> float:
    return float(np.mean(hits))
