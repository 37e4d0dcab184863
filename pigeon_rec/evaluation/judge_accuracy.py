"""Accuracy of the judges on real artwork, as it is and degraded.

A judge that reacts to compression measures the renderer's softness and not its style. The table of
this module is therefore part of every result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.world import load_world
from pigeon_rec.evaluation.degradations import MEASURED, round_trip
from pigeon_rec.evaluation.judges import Judges
from pigeon_rec.model.image_generator import ImageGenerator, LatentCodec
from pigeon_rec.model.pipeline import Pipeline

__all__ = [
    "ArtworkAccuracy",
    "JudgeAccuracy",
    "autoencoder_of",
    "held_out_accuracy",
    "judge_accuracy",
]

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class ArtworkAccuracy:
    """Accuracy on one version of the artwork.

    Attributes:
        artwork: `real`, a degradation from `MEASURED`, or `autoencoder`: through the model's own.
        style: Accuracy of the style judge.
        concept: Accuracy of the concept judge among 100 concepts.
    """

    artwork: str
    style: float
    concept: float


@dataclass(frozen=True)
class JudgeAccuracy:
    """Accuracy of the judges.

    Attributes:
        pictures: Number of artworks.
        accuracy: One entry per version of the artwork, the real one first.
        style_by_style: Accuracy of the style judge on the real artwork of each style.
    """

    pictures: int
    accuracy: Sequence[ArtworkAccuracy]
    style_by_style: Mapping[str, float]


def held_out_accuracy(judges: Judges, autoencoder: LatentCodec | None = None) -> JudgeAccuracy:
    """Measures the judges on all real held-out artwork; see `judge_accuracy`."""
    rows = load_world("bundled").artwork().filter("held_out")
    images, _ = load_catalogue("bundled").images(rows["item_id"].to_list(), size=64)
    return judge_accuracy(judges, rows, images, autoencoder)


def judge_accuracy(
    judges: Judges, rows: pl.DataFrame, images: Images, autoencoder: LatentCodec | None
) -> JudgeAccuracy:
    """Measures the judges on artwork, and on the same artwork degraded.

    Args:
        judges: The judges.
        rows: `item_id`, `style` and `concept` of each artwork.
        images: uint8 `[n, 64, 64, 3]`.
        autoencoder: The evaluated model's; None leaves the row `autoencoder` out.
    """
    versions: dict[str, Callable[[Images], Images]] = dict(MEASURED)
    if autoencoder is not None:
        versions["autoencoder"] = lambda images: round_trip(images, autoencoder)
    styles = rows["style"].to_numpy().astype(str)
    accuracy, hits = [], {}
    for name, degrade in versions.items():
        pictures = degrade(images)
        hits[name] = np.array(judges.styles(judges.style.embed(pictures))) == styles
        concepts = judges.concept_hits(
            judges.concept.embed(pictures), rows["concept"].to_list(), rows["item_id"].to_list()
        )
        accuracy.append(ArtworkAccuracy(name, float(hits[name].mean()), float(concepts.mean())))
    by_style = {name: float(hits["real"][styles == name].mean()) for name in np.unique(styles)}
    return JudgeAccuracy(rows.height, accuracy, by_style)


def autoencoder_of(pipeline: Pipeline) -> LatentCodec | None:
    """The autoencoder of a model of our layout; None for a published model."""
    generator = getattr(pipeline, "generator", None)
    return generator.codec if isinstance(generator, ImageGenerator) else None
