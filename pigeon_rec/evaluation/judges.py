"""The judges: classifiers of the style (of 8) and the concept (of 100) of a picture.

A judge is a small network (`pigeon_rec.evaluation.network`) and one unit vector per class, its
prototype; the class with the nearest prototype wins. A new class needs only artwork, no training.
Judges only measure and never choose a picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation.network import JudgeNetwork, NetworkConfig, embed
from pigeon_rec.runtime.settings import Settings

__all__ = ["CHOICES", "JUDGES_PATH", "Judge", "Judges"]

JUDGES_PATH: Final = Path(__file__).parent / "weights"
CHOICES: Final = 100
"""Number of concepts, the right one included, in a concept hit."""

_PROTOTYPES: Final = "prototypes"

Images = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Judge:
    """A network and a prototype for each class.

    Args:
        classes: Names of the classes.
        network: The embedding.
        prototypes: Unit vector of each class, `[classes, e]`.
    """

    def __init__(self, classes: Sequence[str], network: JudgeNetwork, prototypes: Vectors) -> None:
        self.classes = tuple(classes)
        # Rounded as stored, so that a fitted judge gives the same answers as a loaded one.
        self._network = network.half().float().eval().requires_grad_(False)
        self._prototypes = prototypes.astype(np.float16).astype(np.float32)
        self._code = {name: code for code, name in enumerate(self.classes)}

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Loads `config.json` and `model.safetensors`.

        Raises:
            ModelError: A file is missing, or weights and configuration do not fit.
        """
        try:
            config = _JudgeConfig.model_validate_json((folder / "config.json").read_text("utf-8"))
            weights = load_file(folder / "model.safetensors")
            prototypes = weights.pop(_PROTOTYPES)
            network = JudgeNetwork(config.network)
            network.load_state_dict(weights)
            if prototypes.shape != (len(config.classes), config.network.dimensions):
                raise ValueError("the prototypes do not fit classes and dimensions")
        except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"the judge cannot be loaded: {shorten(str(error), 300)}",
                location=str(folder),
                remedy="Reinstall the package, or run `pigeon-rec evaluate train-judges`",
            ) from error
        return cls(config.classes, network, prototypes.float().numpy())

    def save(self, folder: Path) -> None:
        """Writes `config.json` and `model.safetensors` (half precision)."""
        folder.mkdir(parents=True, exist_ok=True)
        config = _JudgeConfig(classes=self.classes, network=self._network.config)
        (folder / "config.json").write_text(config.model_dump_json() + "\n", encoding="utf-8")
        weights = self._network.state_dict() | {_PROTOTYPES: torch.from_numpy(self._prototypes)}
        halves = {
            name: (weight.half() if weight.is_floating_point() else weight).contiguous()
            for name, weight in weights.items()
        }
        save_file(halves, folder / "model.safetensors")

    def with_class(self, name: str, images: Images) -> Judge:
        """Returns a judge that also knows a new class: its prototype is the mean of the artwork.

        Args:
            name: Name of the class; the prototype of a known one is replaced.
            images: Artwork of the class, uint8 `[n, 64, 64, 3]`; at least one.
        """
        mean = self.embed(images).mean(0)
        known = {**dict(zip(self.classes, self._prototypes, strict=True)), name: _unit(mean)}
        return Judge(list(known), self._network, np.stack(list(known.values())))

    def codes(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Returns the positions of names in `classes`; -1 for an unknown name."""
        return np.array([self._code.get(name, -1) for name in names], dtype=np.int64)

    def embed(self, images: Images) -> Vectors:
        """uint8 `[n, 64, 64, 3]` -> unit vectors float32 `[n, e]`."""
        return embed(self._network, images).numpy()

    def scores(self, embeddings: Vectors) -> Vectors:
        """Unit vectors `[n, e]` -> cosine with each class, float32 `[n, classes]`."""
        return embeddings @ self._prototypes.T


class _JudgeConfig(Settings):
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    network: NetworkConfig


@dataclass(frozen=True)
class Judges:
    """The style judge and the concept judge."""

    style: Judge
    concept: Judge

    @classmethod
    def load(cls, folder: Path = JUDGES_PATH) -> Judges:
        """Loads the bundled judges, or those in a folder of `train_judges`.

        Raises:
            ModelError: A judge is missing or damaged.
        """
        return cls(Judge.load(folder / "style"), Judge.load(folder / "concept"))

    def styles(self, embeddings: Vectors) -> list[str]:
        """Predicts the style of each picture from embeddings of the style judge."""
        return [self.style.classes[code] for code in self.style.scores(embeddings).argmax(1)]

    def concept_hits(
        self, embeddings: Vectors, concepts: Sequence[str], keys: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Whether the right concept scores best among 100, bool `[n]`.

        Args:
            embeddings: Of the concept judge, float32 `[n, d]`.
            concepts: The right concept of each row.
            keys: Key of each row; decides the 99 other concepts, the same for every method.
        """
        scores = self.concept.scores(embeddings)
        right = self.concept.codes(concepts)
        hits = np.zeros(len(right), dtype=np.bool_)
        for row, (code, key) in enumerate(zip(right, keys, strict=True)):
            if code < 0:
                continue
            others = _others(int(code), len(self.concept.classes), key)
            hits[row] = scores[row, code] > scores[row, others].max()
        return hits


def _others(right: int, count: int, key: str) -> NDArray[np.int64]:
    seed = int.from_bytes(hashlib.sha256(f"concepts/{key}".encode()).digest()[:8], "big")
    size = min(CHOICES, count) - 1
    drawn = np.random.default_rng(seed).choice(count - 1, size, replace=False)
    return drawn + (drawn >= right)  # skips the right one


def _unit(vector: Vectors) -> Vectors:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
