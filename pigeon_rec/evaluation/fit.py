"""Judges of a catalogue: fitted on what training may read, measured on what it may not.

Which judges there are depends on the catalogue's columns: one of styles, and one of concepts or, if
there are none, of single items. The latter must find a picture among others after it was moved,
distorted and degraded (as in Wu et al., CVPR 2018), so it needs no labels.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from pigeon_rec.data.dataset import Dataset
from pigeon_rec.errors import TrainingError
from pigeon_rec.evaluation.judges import Judge, Judges
from pigeon_rec.evaluation.train_judges import (
    CONCEPT_RECIPE,
    STYLE_RECIPE,
    JudgeRecipe,
    fit_judge,
    partly_decoded,
)
from pigeon_rec.model.arrays import to_levels, to_pixels
from pigeon_rec.model.image_generator import LatentCodec
from pigeon_rec.model.placing import set_threads
from pigeon_rec.runtime.digests import digest
from pigeon_rec.runtime.files import write_json
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.training.artwork import load_artwork

__all__ = ["fit_judges", "fitted_judges"]

_MOST: Final = 5000
_LARGEST, _RESIZED = 128, 512
_SHORTEST, _LONGEST = 300, 4000
_RECORD: Final = "fitted.json"

Images = NDArray[np.uint8]


def fitted_judges(
    data: Dataset,
    side: int,
    autoencoder: LatentCodec | None,
    folder: Path,
    *,
    steps: int | None = None,
    progress: Progress = silent,
) -> Judges:
    """Loads the judges in `folder`, or fits them first if they are of other data.

    Args:
        data: The catalogue with its labels.
        side: Side of the model's pictures in pixels.
        autoencoder: Decodes a part of the artwork, so that its loss does not mislead the judges.
        folder: Where they are kept.
        steps: Steps of training of each judge; None for as many as the artwork needs.
        progress: Receives epochs, mean loss and training accuracy.

    Raises:
        TrainingError: There are fewer than two usable pictures.
        ModelError: The folder is damaged.
    """
    labels = data.items.join(
        data.catalogue.items.select("item_id", "image_sha256"), on="item_id", maintain_order="left"
    )
    facts: dict[str, Any] = {"side": side, "steps": steps, "data": digest(labels.rows())}
    record = folder / _RECORD
    if not record.is_file() or json.loads(record.read_text("utf-8")) != facts:
        shutil.rmtree(folder, ignore_errors=True)  # judges of other data
        fit_judges(data, side, autoencoder, steps=steps, progress=progress).save(folder)
        write_json(facts, record)
    judges = Judges.load(folder)
    return replace(judges, item=_with_held_out(judges.item, data, side))


def fit_judges(
    data: Dataset,
    side: int,
    autoencoder: LatentCodec | None,
    *,
    steps: int | None = None,
    progress: Progress = silent,
) -> Judges:
    """Fits the judges that the catalogue allows; arguments as of `fitted_judges`."""
    set_threads(1)  # with more threads, sums are rounded in another order
    artwork = load_artwork(data, side, most=_MOST)
    if len(artwork) < 2:
        raise TrainingError(
            "a judge needs two pictures or more",
            location=data.name,
            remedy="Give a catalogue with more items",
        )
    labels = artwork.rows.select("item_id").join(
        data.items, on="item_id", how="left", maintain_order="left"
    )
    decoded = _resized(partly_decoded(artwork.images, autoencoder), _LARGEST)
    images = _resized(artwork.images, _LARGEST)

    def fit(kind: str, recipe: JudgeRecipe) -> Judge | None:
        return _fit(images, decoded, labels[kind], recipe, steps, progress)

    style, concept = fit("style", STYLE_RECIPE), fit("concept", CONCEPT_RECIPE)
    # Without concepts, the classes are the items: each picture is there twice, so it has another.
    twice, names = np.concatenate([images, images]), pl.concat([labels["item_id"]] * 2)
    item = concept or _fit(
        twice, np.concatenate([decoded, decoded]), names, CONCEPT_RECIPE, steps, progress
    )
    return Judges(style, concept, None if concept is not None else item)


def _fit(
    images: Images,
    decoded: Images,
    labels: pl.Series,
    recipe: JudgeRecipe,
    steps: int | None,
    progress: Progress,
) -> Judge | None:
    """A judge of the pictures with a label; None if no two classes have two pictures."""
    classes = labels.drop_nulls().value_counts().filter(pl.col("count") > 1)
    if classes.height < 2:
        return None
    known = labels.is_not_null().to_numpy()
    sized = _sized(recipe, images.shape[1], int(known.sum()), steps)
    names = labels.drop_nulls().to_list()
    return fit_judge(images[known], names, sized, decoded[known], progress=progress)


def _sized(recipe: JudgeRecipe, side: int, pictures: int, steps: int | None) -> JudgeRecipe:
    """The recipe for pictures of another size and number."""
    each = max(1, pictures // recipe.batch_size)
    wanted = steps or min(_LONGEST, max(_SHORTEST, recipe.epochs * each))
    network = recipe.network.model_copy(update={"image_size": side})
    return replace(recipe, network=network, epochs=max(1, math.ceil(wanted / each)))


def _resized(images: Images, largest: int) -> Images:
    """Pictures of at most that side: a judge of larger ones would take too long to train."""
    if images.shape[1] <= largest:
        return images
    size = (largest, largest)
    parts = [
        F.interpolate(to_pixels(images[start : start + _RESIZED]), size, mode="area")
        for start in range(0, len(images), _RESIZED)
    ]
    return to_levels(torch.cat(parts)).numpy()


def _with_held_out(judge: Judge | None, data: Dataset, side: int) -> Judge | None:
    """Makes held-out items known to an item judge by their own pictures; it never trained on them.

    Whether it finds them again is then measured on degraded pictures.
    """
    if judge is None:
        return None
    held_out = data.held_out_items()["item_id"].to_list()
    images, problems = data.catalogue.images(held_out, side)
    broken = {problem.subject for problem in problems}
    kept = [row for row, item in enumerate(held_out) if item not in broken]
    return judge.with_pictures([held_out[row] for row in kept], images[kept]) if kept else judge
