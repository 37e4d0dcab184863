"""The judges: which of 8 styles a picture has, and which of 100 concepts it shows.

They never choose a picture, only measure it. What they are worth themselves is told by
`held_out_accuracy`: their answers on real artwork that no training step, theirs included, has read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.stickers import load_stickers
from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation.networks import JudgeConfig, JudgeNetwork
from pigeon_rec.model.arrays import fixed_batches, to_pixels

__all__ = ["CANDIDATES", "JUDGES_PATH", "Judge", "JudgeAccuracy", "Judges", "held_out_accuracy"]

JUDGES_PATH: Final = Path(__file__).parent / "weights"
CANDIDATES: Final = 100
"""Concepts to choose the right one from."""

_BATCH = 64

Images = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Judge:
    """One trained network behind numpy arrays.

    Attributes:
        classes: What it tells apart.
    """

    def __init__(self, network: JudgeNetwork) -> None:
        self._network = network.eval()
        self.classes = network.config.classes
        self._place = {name: place for place, name in enumerate(self.classes)}

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Loads `config.json` and `model.safetensors`.

        Raises:
            ModelError: A file is missing, or weights and configuration do not fit.
        """
        try:
            text = (folder / "config.json").read_text("utf-8")
            network = JudgeNetwork(JudgeConfig.model_validate_json(text))
            weights = load_file(folder / "model.safetensors")
            network.load_state_dict(
                {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
            )
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise ModelError(
                f"the judge cannot be loaded: {shorten(str(error), 300)}",
                where=str(folder),
                remedy="Reinstall the package, or run `pigeon-rec evaluate train-judges`",
            ) from error
        return cls(network)

    def places(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Places of class names among `classes`."""
        return np.array([self._place[name] for name in names], dtype=np.int64)

    @torch.inference_mode()
    def embed(self, images: Images) -> Vectors:
        """uint8 `[n, 64, 64, 3]` -> unit vectors float32 `[n, d]`."""
        width = self._network.config.embedding
        vectors = np.zeros((len(images), width), dtype=np.float32)
        for rows in fixed_batches(len(images), _BATCH):
            vectors[rows] = self._network.embed(to_pixels(images[rows])).numpy()
        return vectors

    @torch.inference_mode()
    def scores(self, embeddings: Vectors) -> Vectors:
        """Unit vectors `[n, d]` -> one score a class, float32 `[n, classes]`, higher is surer."""
        return self._network.logits(torch.from_numpy(embeddings)).numpy()


@dataclass(frozen=True)
class Judges:
    """Both judges."""

    style: Judge
    concept: Judge

    @classmethod
    def load(cls, folder: Path = JUDGES_PATH) -> Judges:
        """The bundled judges, or those `train_judges` wrote to a folder.

        Raises:
            ModelError: A judge is missing or damaged.
        """
        return cls(Judge.load(folder / "style"), Judge.load(folder / "concept"))

    def styles(self, embeddings: Vectors) -> list[str]:
        """The style each picture has, from embeddings of the style judge."""
        return [self.style.classes[place] for place in self.style.scores(embeddings).argmax(1)]

    def concept_hits(
        self, embeddings: Vectors, concepts: Sequence[str], keys: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Whether the right concept scores best among 100, from the concept judge's embeddings.

        Args:
            embeddings: float32 `[n, d]`.
            concepts: The right one of each row.
            keys: Of each row; decides the 99 others, so that every method faces the same ones.
        """
        scores = self.concept.scores(embeddings)
        right = self.concept.places(concepts)
        hits = np.zeros(len(right), dtype=np.bool_)
        for row, (place, key) in enumerate(zip(right, keys, strict=True)):
            others = _others(int(place), len(self.concept.classes), key)
            hits[row] = scores[row, place] > scores[row, others].max()
        return hits


def _others(right: int, count: int, key: str) -> NDArray[np.int64]:
    seed = int.from_bytes(hashlib.sha256(f"concepts/{key}".encode()).digest()[:8], "big")
    wanted = min(CANDIDATES, count) - 1
    drawn = np.random.default_rng(seed).choice(count - 1, wanted, replace=False)
    return drawn + (drawn >= right)  # the right one is left out


@dataclass(frozen=True)
class JudgeAccuracy:
    """What the judges are worth on real held-out artwork.

    Attributes:
        pictures: Held-out artworks judged.
        style: Share of right styles.
        concept: Share of right concepts among 100.
        style_by_style: Share of right styles of each style.
    """

    pictures: int
    style: float
    concept: float
    style_by_style: dict[str, float]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def held_out_accuracy(judges: Judges) -> JudgeAccuracy:
    """Judges every real held-out artwork, once."""
    rows = load_stickers().filter("held_out")
    item_ids = rows["item_id"].to_list()
    images, _ = load_catalogue("bundled").images(item_ids, size=64)
    found = np.array(judges.styles(judges.style.embed(images)))
    right = found == rows["style"].to_numpy().astype(str)
    concepts = judges.concept_hits(
        judges.concept.embed(images), rows["concept"].to_list(), item_ids
    )
    styles = rows["style"].to_numpy().astype(str)
    return JudgeAccuracy(
        pictures=rows.height,
        style=float(right.mean()),
        concept=float(concepts.mean()),
        style_by_style={name: float(right[styles == name].mean()) for name in np.unique(styles)},
    )
