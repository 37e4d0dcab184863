"""Trains the judges: `pigeon-rec evaluate train-judges`.

Each judge is a cosine classifier (Wang et al., CosFace, CVPR 2018, without the margin) of artwork
that is moved, degraded and, for a part, decoded by a model's autoencoder. Held-out artwork is never
read, and a part of the rest is kept for validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pigeon_rec.data.world import load_world
from pigeon_rec.evaluation.augmentation import (
    CONCEPT_DISTORTION,
    STYLE_DISTORTION,
    Distortion,
    distort,
)
from pigeon_rec.evaluation.degradations import degraded, round_trip
from pigeon_rec.evaluation.judge_accuracy import JudgeAccuracy, judge_accuracy
from pigeon_rec.evaluation.judges import Judge, Judges
from pigeon_rec.evaluation.network import JudgeNetwork, NetworkConfig
from pigeon_rec.model.arrays import to_levels, to_pixels
from pigeon_rec.model.image_generator import LatentCodec
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.training.artwork import TrainingArtwork, decode_artwork, shifted

__all__ = [
    "CONCEPT_RECIPE",
    "STYLE_RECIPE",
    "JudgeRecipe",
    "fit_judge",
    "judge_stickers",
    "train_judges",
    "validation_rows",
]

Images = NDArray[np.uint8]

_SEED: Final = 9201
"""Not used by the model's own training."""
_DECODED: Final = 0.3
"""Share of the artwork that is also learned as the autoencoder decodes it."""
_SMOOTHING: Final = 0.1
"""Label smoothing."""
_REACH: Final = 3
"""Largest shift in pixels."""


@dataclass(frozen=True)
class JudgeRecipe:
    """How a judge is trained.

    Attributes:
        network: Sizes of the network.
        epochs: Passes over the artwork.
        learning_rate: Highest learning rate of the one-cycle schedule.
        scale: Factor of the cosines in the softmax.
        distortion: Change of geometry and colour.
        distorted: Probability of the distortion; other artwork is mirrored and shifted.
        batch_size: Pictures of one step.
    """

    network: NetworkConfig
    epochs: int
    learning_rate: float
    scale: float
    distortion: Distortion
    distorted: float
    batch_size: int = 64


STYLE_RECIPE: Final = JudgeRecipe(
    NetworkConfig(kind="style", widths=(24, 48, 96, 128), dimensions=32),
    epochs=12, learning_rate=3e-3, scale=10.0, distortion=STYLE_DISTORTION, distorted=0.3,
)  # fmt: skip

CONCEPT_RECIPE: Final = JudgeRecipe(
    NetworkConfig(kind="concept", widths=(64, 96, 128), dimensions=96),
    epochs=14, learning_rate=2e-3, scale=20.0, distortion=CONCEPT_DISTORTION, distorted=0.85,
)  # fmt: skip


def train_judges(
    destination: Path, autoencoder: LatentCodec, *, progress: Progress = silent
) -> JudgeAccuracy:
    """Trains both judges of the bundled world and writes `<destination>/{style,concept}`.

    Returns:
        Their accuracy on the validation artwork.
    """
    artwork = judge_stickers()
    validation = validation_rows(artwork.rows)
    learned = np.flatnonzero(~validation)
    random = np.random.default_rng(_SEED)
    part = random.permutation(learned)[: round(_DECODED * len(learned))]
    decoded = round_trip(artwork.images[part], autoencoder)
    images = np.concatenate([artwork.images[learned], decoded])
    rows = artwork.rows[np.concatenate([learned, part])]
    judges = Judges(
        fit_judge(images, rows["style"].to_list(), STYLE_RECIPE, progress=progress),
        fit_judge(images, rows["concept"].to_list(), CONCEPT_RECIPE, progress=progress),
    )
    judges.style.save(destination / "style")
    judges.concept.save(destination / "concept")
    kept = artwork.rows.filter(validation)
    return judge_accuracy(judges, kept, artwork.images[validation], autoencoder)


def judge_stickers() -> TrainingArtwork:
    """Decodes the artwork that is not held out."""
    return decode_artwork(load_world("bundled").training_artwork())


def validation_rows(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Mask of the 4 % of the rows (`item_id`, `concept`) that are kept for validation.

    A concept of which no other picture would be left stays in training.
    """
    drawn = np.array([_draw(item) < 0.04 for item in rows["item_id"]])
    known = set(rows["concept"].to_numpy()[~drawn])
    return drawn & np.array([concept in known for concept in rows["concept"]])


def fit_judge(
    images: Images, labels: Sequence[str], recipe: JudgeRecipe, *, progress: Progress = silent
) -> Judge:
    """Trains a judge from random weights.

    Args:
        images: Artwork on white, uint8 `[n, 64, 64, 3]`; decoded copies may be among it.
        labels: The class of each.
        recipe: Sizes and schedule.
        progress: Receives epochs, mean loss and training accuracy.
    """
    classes, codes = np.unique(np.array(labels), return_inverse=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = JudgeNetwork(recipe.network)
        start = torch.randn(len(classes), recipe.network.dimensions)
        prototypes = nn.Parameter(F.normalize(start, dim=1))
        _train(network, prototypes, _Batches(images, codes, recipe), recipe, progress)
    learned = F.normalize(prototypes.detach(), dim=1).numpy()
    return Judge([str(name) for name in classes], network, learned)


def _draw(item_id: str) -> float:
    digest = hashlib.sha256(f"judge:{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class _Batches:
    """Random batches of changed artwork, the same in every run."""

    def __init__(self, images: Images, codes: NDArray[np.int64], recipe: JudgeRecipe) -> None:
        self._images, self._codes, self._recipe = images, codes, recipe
        self._random = np.random.default_rng(_SEED)
        self._generator = torch.Generator().manual_seed(_SEED)
        self.count = max(1, len(images) // recipe.batch_size)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields `count` batches of pixels `[B, 3, H, W]` and class codes `[B]`."""
        order = self._random.permutation(len(self._images))
        for number in range(self.count):
            rows = order[number * self._recipe.batch_size :][: self._recipe.batch_size]
            yield to_pixels(self._changed(self._images[rows])), torch.from_numpy(self._codes[rows])

    def _changed(self, images: Images) -> Images:
        moved = shifted(images, self._random, _REACH)
        mask = self._random.random(len(moved)) < self._recipe.distorted
        distorted = distort(to_pixels(moved[mask]), self._recipe.distortion, self._generator)
        moved[mask] = to_levels(distorted).numpy()
        return degraded(moved, self._random)


def _train(
    network: JudgeNetwork,
    prototypes: nn.Parameter,
    batches: _Batches,
    recipe: JudgeRecipe,
    progress: Progress,
) -> None:
    optimiser = _optimiser(network, prototypes, recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * batches.count, pct_start=0.15
    )
    network.train()
    for epoch in range(recipe.epochs):
        losses, right = [], []
        for pixels, codes in batches.epoch():
            cosines = network(pixels) @ F.normalize(prototypes, dim=1).T
            loss = F.cross_entropy(recipe.scale * cosines, codes, label_smoothing=_SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            right.append((cosines.argmax(1) == codes).float().mean().item())
        facts = {"loss": float(np.mean(losses)), "accuracy": float(np.mean(right))}
        progress(f"{recipe.network.kind} judge, epochs", epoch + 1, recipe.epochs, **facts)


def _optimiser(
    network: JudgeNetwork, prototypes: nn.Parameter, recipe: JudgeRecipe
) -> torch.optim.AdamW:
    """AdamW; only matrices decay."""
    matrices = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": 0.05},
        {"params": [*others, prototypes], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)
