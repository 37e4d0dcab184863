"""Trains the judges: `pigeon-rec evaluate train-judges`.

Each picture is classified by the cosine to the mean embedding of every class, without itself in the
mean of its own class (as in prototypical networks, Snell et al., NeurIPS 2017, with the embeddings
kept from step to step as in Wu et al., CVPR 2018). So a concept is learned from its other styles
and not by heart. The artwork is moved, degraded and, for a part, decoded by a model's autoencoder.
Held-out artwork is never read, and a part of the rest is kept for validation.
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
from torch import Tensor

from pigeon_rec.data.dataset import load_dataset
from pigeon_rec.errors import TrainingError
from pigeon_rec.evaluation.augmentation import (
    CONCEPT_DISTORTION,
    STYLE_DISTORTION,
    Distortion,
    distort,
    moved,
)
from pigeon_rec.evaluation.degradations import degraded, round_trip
from pigeon_rec.evaluation.judge_accuracy import JudgeAccuracy, judge_accuracy
from pigeon_rec.evaluation.judges import Judge, Judges
from pigeon_rec.evaluation.network import JudgeNetwork, NetworkConfig, embed
from pigeon_rec.model.arrays import to_levels, to_pixels
from pigeon_rec.model.image_generator import LatentCodec
from pigeon_rec.model.placing import set_threads
from pigeon_rec.runtime.progress import Progress, silent
from pigeon_rec.training.artwork import TrainingArtwork, load_artwork

__all__ = [
    "CONCEPT_RECIPE",
    "STYLE_RECIPE",
    "JudgeRecipe",
    "fit_judge",
    "judge_stickers",
    "partly_decoded",
    "train_judges",
    "validation_rows",
]

Images = NDArray[np.uint8]

_SIDE: Final = 64
_SEED: Final = 9201
"""Not used by the model's own training."""
_DECODED: Final = 0.5
"""Share of the artwork of which a copy decoded by the autoencoder is made."""
_SMOOTHING: Final = 0.05
"""Label smoothing."""


@dataclass(frozen=True)
class JudgeRecipe:
    """How a judge is trained.

    Attributes:
        network: Sizes of the network.
        epochs: Passes over the artwork.
        learning_rate: Highest learning rate of the one-cycle schedule.
        scale: Factor of the cosines in the softmax.
        reach: Largest shift in pixels.
        distortion: Change of geometry and colour.
        distorted: Probability of the distortion; other artwork is only moved and mirrored.
        batch_size: Pictures of one step.
    """

    network: NetworkConfig
    epochs: int
    learning_rate: float
    scale: float
    reach: int
    distortion: Distortion
    distorted: float
    batch_size: int = 48


STYLE_RECIPE: Final = JudgeRecipe(
    NetworkConfig(kind="style", widths=(24, 48, 96, 128), dimensions=32),
    epochs=20, learning_rate=3e-3, scale=10.0, reach=3,
    distortion=STYLE_DISTORTION, distorted=0.3,
)  # fmt: skip

CONCEPT_RECIPE: Final = JudgeRecipe(
    NetworkConfig(kind="concept", widths=(64, 96, 128), dimensions=128),
    epochs=10, learning_rate=2e-3, scale=14.0, reach=2,
    distortion=CONCEPT_DISTORTION, distorted=0.5,
)  # fmt: skip


def train_judges(
    destination: Path, autoencoder: LatentCodec | None, *, progress: Progress = silent
) -> JudgeAccuracy:
    """Trains both judges of the bundled world and writes `<destination>/{style,concept}`.

    Args:
        destination: Folder to write to.
        autoencoder: Decodes a part of the artwork; None for no such copies.
        progress: Receives epochs, mean loss and training accuracy.

    Returns:
        Their accuracy on the validation artwork.
    """
    set_threads(1)  # with more threads, sums are rounded in another order
    artwork = judge_stickers()
    validation = validation_rows(artwork.rows)
    images, rows = artwork.images[~validation], artwork.rows.filter(~validation)
    decoded = partly_decoded(images, autoencoder)
    judges = Judges(
        *(
            fit_judge(images, rows[kind].to_list(), recipe, decoded, progress=progress)
            for kind, recipe in (("style", STYLE_RECIPE), ("concept", CONCEPT_RECIPE))
        )
    )
    judges.save(destination)
    kept = artwork.rows.filter(validation)
    return judge_accuracy(judges, kept, artwork.images[validation], autoencoder)


def judge_stickers() -> TrainingArtwork:
    """Decodes the artwork that is not held out."""
    return load_artwork(load_dataset(), _SIDE)


def validation_rows(rows: pl.DataFrame) -> NDArray[np.bool_]:
    """Mask of the 4 % of the rows (`item_id`, `concept`) that are kept for validation.

    A concept of which no other picture would be left stays in training.
    """
    drawn = np.array([_draw(item) < 0.04 for item in rows["item_id"]])
    known = set(rows["concept"].to_numpy()[~drawn])
    return drawn & np.array([concept in known for concept in rows["concept"]])


def fit_judge(
    images: Images,
    labels: Sequence[str],
    recipe: JudgeRecipe,
    decoded: Images | None = None,
    *,
    progress: Progress = silent,
) -> Judge:
    """Trains a judge from random weights; its prototypes are the mean embeddings of the classes.

    A class of one artwork gets a prototype, but is not trained on: it has no other artwork.

    Args:
        images: Artwork on white, uint8 `[n, side, side, 3]`, as large as the recipe says.
        labels: The class of each.
        recipe: Sizes and schedule.
        decoded: The same artwork, decoded by an autoencoder for any part of it; shown half of the
            time.
        progress: Receives epochs, mean loss and training accuracy.

    Raises:
        TrainingError: There are not two classes of two artworks each.
    """
    classes, codes = np.unique(np.array(labels), return_inverse=True)
    learned = np.flatnonzero(np.bincount(codes)[codes] > 1)
    if len(np.unique(codes[learned])) < 2:
        raise TrainingError(
            "a judge cannot be trained on this artwork",
            location=f"{len(images)} pictures of {len(classes)} classes",
            remedy="Give at least two classes with two pictures each",
        )
    batches = _Batches(images, images if decoded is None else decoded, learned, recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = JudgeNetwork(recipe.network)
        _train(network, batches, torch.from_numpy(codes), recipe, progress)
    names = [str(name) for name in classes]
    return Judge(names, network, _Memory(network, images, torch.from_numpy(codes)).means().numpy())


def partly_decoded(images: Images, autoencoder: LatentCodec | None) -> Images:
    """The artwork, a part of it decoded by an autoencoder; unchanged without one."""
    decoded = images.copy()
    if autoencoder is None:
        return decoded
    part = np.random.default_rng(_SEED).random(len(images)) < _DECODED
    decoded[part] = round_trip(images[part], autoencoder)
    return decoded


def _draw(item_id: str) -> float:
    digest = hashlib.sha256(f"judge:{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class _Batches:
    """Random batches of changed artwork, the same in every run."""

    def __init__(
        self, images: Images, decoded: Images, learned: NDArray[np.int64], recipe: JudgeRecipe
    ) -> None:
        self.images = images
        self._decoded, self._learned, self._recipe = decoded, learned, recipe
        self._random = np.random.default_rng(_SEED)
        self._generator = torch.Generator().manual_seed(_SEED)
        self.count = max(1, len(learned) // recipe.batch_size)

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields `count` batches: pixels `[B, 3, H, W]` and the rows of their artwork `[B]`."""
        order = self._learned[self._random.permutation(len(self._learned))]
        for number in range(self.count):
            rows = order[number * self._recipe.batch_size :][: self._recipe.batch_size]
            yield to_pixels(self._changed(rows)), torch.from_numpy(rows)

    def _changed(self, rows: NDArray[np.int64]) -> Images:
        random, recipe = self._random, self._recipe
        show = random.random(len(rows)) < 0.5
        chosen = np.where(show[:, None, None, None], self._decoded[rows], self.images[rows])
        changed = moved(chosen, random, recipe.reach, recipe.distortion.mirror)
        mask = random.random(len(rows)) < recipe.distorted
        if mask.any():
            distorted = distort(to_pixels(changed[mask]), recipe.distortion, self._generator)
            changed[mask] = to_levels(distorted).numpy()
        return degraded(changed, random)


class _Memory:
    """The latest embedding of each artwork, and their sums by class."""

    def __init__(self, network: JudgeNetwork, images: Images, codes: Tensor) -> None:
        self._codes = codes
        self._vectors = embed(network, images)
        sums = torch.zeros(int(codes.max()) + 1, self._vectors.shape[1])
        self._sums = sums.index_add_(0, codes, self._vectors)

    def means(self) -> Tensor:
        """Unit mean embedding of each class, `[classes, e]`."""
        return F.normalize(self._sums, dim=1)

    def cosines(self, embedded: Tensor, rows: Tensor) -> Tensor:
        """Cosine to the mean of each class, `[B, classes]`; the own class without the artwork."""
        codes = self._codes[rows]
        others = F.normalize(self._sums[codes] - self._vectors[rows], dim=1)
        own = (embedded * others).sum(1, keepdim=True)
        return (embedded @ self.means().T).scatter(1, codes[:, None], own)

    def keep(self, embedded: Tensor, rows: Tensor) -> None:
        """Replaces the embeddings of artwork."""
        self._sums.index_add_(0, self._codes[rows], embedded - self._vectors[rows])
        self._vectors[rows] = embedded


def _train(
    network: JudgeNetwork,
    batches: _Batches,
    codes: Tensor,
    recipe: JudgeRecipe,
    progress: Progress,
) -> None:
    optimiser = _optimiser(network, recipe)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * batches.count, pct_start=0.1
    )
    for epoch in range(recipe.epochs):
        memory = _Memory(network.eval(), batches.images, codes)
        network.train()
        losses, right = [], []
        for pixels, rows in batches.epoch():
            embedded = network(pixels)
            cosines, labels = memory.cosines(embedded, rows), codes[rows]
            loss = F.cross_entropy(recipe.scale * cosines, labels, label_smoothing=_SMOOTHING)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            memory.keep(embedded.detach(), rows)
            losses.append(loss.item())
            right.append((cosines.argmax(1) == labels).float().mean().item())
        facts = {"loss": float(np.mean(losses)), "accuracy": float(np.mean(right))}
        progress(f"{recipe.network.kind} judge, epochs", epoch + 1, recipe.epochs, **facts)
    network.eval()


def _optimiser(network: JudgeNetwork, recipe: JudgeRecipe) -> torch.optim.AdamW:
    """AdamW; only matrices decay."""
    groups = [
        {"params": [w for w in network.parameters() if w.ndim > 1], "weight_decay": 0.05},
        {"params": [w for w in network.parameters() if w.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)
