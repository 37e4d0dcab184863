"""Accuracy of the judges on real artwork, as it is and degraded.

A judge that reacts to compression measures the renderer's softness and not its style. The table of
this module is therefore part of every result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.data.dataset import Dataset, load_dataset
from pigeon_rec.evaluation.degradations import MEASURED, round_trip
from pigeon_rec.evaluation.judges import CHOICES, Judges
from pigeon_rec.model.image_generator import ImageGenerator, LatentCodec
from pigeon_rec.model.pipeline import Pipeline

__all__ = [
    "MOST",
    "ArtworkAccuracy",
    "JudgeAccuracy",
    "autoencoder_of",
    "held_out_accuracy",
    "judge_accuracy",
]

MOST: Final = 2000
"""Artworks that the judges are measured on."""

_FEW: Final = 30
_LOW: Final = 0.7

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class ArtworkAccuracy:
    """Accuracy on one version of the artwork; None of a judge that there is not.

    Attributes:
        artwork: `real`, a degradation from `MEASURED`, or `autoencoder`: through the model's own.
        style: Accuracy of the style judge.
        concept: Accuracy of the concept judge among 100 concepts.
        item: Accuracy of the item judge among 100 items.
    """

    artwork: str
    style: float | None
    concept: float | None
    item: float | None = None


@dataclass(frozen=True)
class JudgeAccuracy:
    """Accuracy of the judges.

    Attributes:
        pictures: Number of artworks.
        accuracy: One entry per version of the artwork, the real one first.
        style_by_style: Accuracy of the style judge on the real artwork of each style.
        choices: Judge -> number of classes that it chooses between.
        warnings: What is too little, or too low, to mean anything; one sentence each.
    """

    pictures: int
    accuracy: Sequence[ArtworkAccuracy]
    style_by_style: Mapping[str, float]
    choices: Mapping[str, int]
    warnings: Sequence[str]


def held_out_accuracy(
    judges: Judges,
    autoencoder: LatentCodec | None = None,
    data: Dataset | None = None,
    side: int | None = None,
) -> JudgeAccuracy:
    """Measures the judges on real held-out artwork, at most `MOST`; see `judge_accuracy`.

    Args:
        judges: Judges of the catalogue.
        autoencoder: The evaluated model's.
        data: The catalogue; the bundled stickers by default.
        side: Side of the pictures in pixels, as the model sees them; that of the judges by default.
    """
    data = data or load_dataset()
    side = side or next(iter(judges.by_kind().values())).image_size
    rows = data.held_out_items().head(MOST)
    images, problems = data.catalogue.images(rows["item_id"].to_list(), side)
    usable = ~rows["item_id"].is_in([problem.subject for problem in problems])
    return judge_accuracy(judges, rows.filter(usable), images[usable.to_numpy()], autoencoder)


def judge_accuracy(
    judges: Judges, rows: pl.DataFrame, images: Images, autoencoder: LatentCodec | None
) -> JudgeAccuracy:
    """Measures the judges on artwork, and on the same artwork degraded.

    A judge is measured on the artwork whose class it knows.

    Args:
        judges: The judges.
        rows: `item_id`, `style` and `concept` of each artwork; the latter may be null.
        images: uint8 `[n, H, W, 3]`.
        autoencoder: The evaluated model's; None leaves the row `autoencoder` out.
    """
    versions: dict[str, Callable[[Images], Images]] = dict(MEASURED)
    if autoencoder is not None:
        versions["autoencoder"] = lambda images: round_trip(images, autoencoder)
    labels = {
        kind: rows["item_id" if kind == "item" else kind].to_list() for kind in judges.by_kind()
    }
    known = {
        kind: np.flatnonzero(judge.codes([name or "" for name in labels[kind]]) >= 0)
        for kind, judge in judges.by_kind().items()
    }
    hits = {
        name: _hits(judges, degrade(images), labels, known, rows["item_id"].to_list())
        for name, degrade in versions.items()
    }
    accuracy = [
        ArtworkAccuracy(name, *(_mean(found.get(kind)) for kind in ("style", "concept", "item")))
        for name, found in hits.items()
    ]
    by_style = {}
    if "style" in known:
        styles = np.array(labels["style"])[known["style"]]
        by_style = {
            str(name): float(hits["real"]["style"][styles == name].mean())
            for name in np.unique(styles)
        }
    choices = {
        kind: len(judge.classes) if kind == "style" else min(CHOICES, len(judge.classes))
        for kind, judge in judges.by_kind().items()
    }
    counts = {kind: len(found) for kind, found in known.items()}
    return JudgeAccuracy(
        rows.height, accuracy, by_style, choices, _warnings(accuracy[0], choices, counts)
    )


def _hits(
    judges: Judges,
    pictures: Images,
    labels: Mapping[str, Sequence[str]],
    known: Mapping[str, NDArray[np.int64]],
    keys: Sequence[str],
) -> dict[str, NDArray[np.bool_]]:
    """Judge -> whether it is right, for the pictures whose class it knows."""
    hits = {}
    for kind, judge in judges.by_kind().items():
        rows = known[kind]
        right = [labels[kind][row] for row in rows]
        vectors = judge.embed(pictures[rows])
        if kind == "style":
            hits[kind] = np.array(judges.styles(vectors), dtype=object) == np.array(right, object)
        else:
            hits[kind] = judges.concept_hits(vectors, right, [keys[row] for row in rows])
    return hits


def _warnings(
    real: ArtworkAccuracy, choices: Mapping[str, int], counts: Mapping[str, int]
) -> list[str]:
    """What is too little, or too low, to mean anything."""
    found = []
    for count in sorted({count for count in counts.values() if count < _FEW}):
        kinds = [kind for kind in counts if counts[kind] == count]
        found.append(
            f"the accuracy of the judges of {' and '.join(f'{kind}s' for kind in kinds)} is "
            f"measured on {count} pictures and may be far from the truth"
        )
    for kind in counts:
        right: float | None = getattr(real, kind)
        if right is not None and right < _LOW:
            found.append(
                f"the {kind} judge is right in {right:.0%} of real pictures "
                f"({1 / choices[kind]:.0%} by chance): what it says of drawn ones means little"
            )
    return found


def _mean(hits: NDArray[np.bool_] | None) -> float | None:
    return float(hits.mean()) if hits is not None and len(hits) else None


def autoencoder_of(pipeline: Pipeline) -> LatentCodec | None:
    """The autoencoder of a model of our layout; None for a published model."""
    generator = getattr(pipeline, "generator", None)
    return generator.codec if isinstance(generator, ImageGenerator) else None
