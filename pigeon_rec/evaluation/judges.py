"""The judges: classifiers of the style (of 8) and the concept (of 100) of a picture.

Both are linear in hand-crafted features (`pigeon_rec.evaluation.features`), while the scorer is a
trained patch transformer. They only measure and never choose a picture. `held_out_accuracy` is
their own accuracy on real artwork that no training step, theirs included, has read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.world import load_world
from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation.features import FEATURES
from pigeon_rec.runtime.settings import Settings

__all__ = [
    "CHOICES",
    "JUDGES_PATH",
    "Judge",
    "JudgeAccuracy",
    "Judges",
    "held_out_accuracy",
]

JUDGES_PATH: Final = Path(__file__).parent / "weights"
CHOICES: Final = 100
"""Number of concepts, the right one included, in a concept hit."""

_BATCH = 256

Images = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Judge:
    """Hand-crafted features, a linear embedding, and a prototype for each class.

    Args:
        kind: `style` or `concept`; decides the features.
        classes: Names of the classes.
        mean: Mean of the features, `[d]`.
        projection: Linear embedding, `[d, e]`.
        prototypes: Unit vector of each class, `[classes, e]`.
    """

    def __init__(
        self,
        kind: str,
        classes: Sequence[str],
        mean: NDArray[np.floating[Any]],
        projection: NDArray[np.floating[Any]],
        prototypes: NDArray[np.floating[Any]],
    ) -> None:
        self.kind = kind
        self.classes = tuple(classes)
        # Rounded as stored, so that a fitted judge gives the same answers as a loaded one.
        self._mean = mean.astype(np.float32)
        self._projection = projection.astype(np.float32)
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
            mean, projection, prototypes = (
                weights[name] for name in ("mean", "projection", "prototypes")
            )
            fits = (len(mean), prototypes.shape[1]) == projection.shape
            if not fits or len(prototypes) != len(config.classes):
                raise ValueError("the shapes of the weights do not fit each other")
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise ModelError(
                f"the judge cannot be loaded: {shorten(str(error), 300)}",
                location=str(folder),
                remedy="Reinstall the package, or run `pigeon-rec evaluate train-judges`",
            ) from error
        return cls(config.kind, config.classes, mean, projection, prototypes)

    def save(self, folder: Path) -> None:
        """Writes `config.json` and `model.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        config = _JudgeConfig(kind=self.kind, classes=self.classes)
        (folder / "config.json").write_text(config.model_dump_json() + "\n", encoding="utf-8")
        weights: dict[str, NDArray[Any]] = {
            "mean": self._mean,
            "projection": np.ascontiguousarray(self._projection),
            "prototypes": np.ascontiguousarray(self._prototypes.astype(np.float16)),
        }
        save_file(weights, folder / "model.safetensors")

    def codes(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Returns the positions of names in `classes`; -1 for an unknown name."""
        return np.array([self._code.get(name, -1) for name in names], dtype=np.int64)

    def embed(self, images: Images) -> Vectors:
        """uint8 `[n, 64, 64, 3]` -> unit vectors float32 `[n, e]`."""
        vectors = np.zeros((len(images), self._projection.shape[1]), dtype=np.float32)
        for start in range(0, len(images), _BATCH):
            part = slice(start, start + _BATCH)
            vectors[part] = (FEATURES[self.kind](images[part]) - self._mean) @ self._projection
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)

    def scores(self, embeddings: Vectors) -> Vectors:
        """Unit vectors `[n, e]` -> cosine with each class, float32 `[n, classes]`."""
        return embeddings @ self._prototypes.T


class _JudgeConfig(Settings):
    kind: Literal["style", "concept"]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]


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


@dataclass(frozen=True)
class JudgeAccuracy:
    """Accuracy of the judges on real held-out artwork.

    Attributes:
        pictures: Number of artworks.
        style: Accuracy of the style judge.
        concept: Accuracy of the concept judge among 100 concepts.
        style_by_style: Accuracy of the style judge for each style.
    """

    pictures: int
    style: float
    concept: float
    style_by_style: dict[str, float]


def held_out_accuracy(judges: Judges) -> JudgeAccuracy:
    """Measures the judges on every real held-out artwork."""
    rows = load_world("bundled").artwork().filter("held_out")
    item_ids = rows["item_id"].to_list()
    images, _ = load_catalogue("bundled").images(item_ids, size=64)
    styles = rows["style"].to_numpy().astype(str)
    right = np.array(judges.styles(judges.style.embed(images))) == styles
    embeddings = judges.concept.embed(images)
    concepts = judges.concept_hits(embeddings, rows["concept"].to_list(), item_ids)
    return JudgeAccuracy(
        pictures=rows.height,
        style=float(right.mean()),
        concept=float(concepts.mean()),
        style_by_style={name: float(right[styles == name].mean()) for name in np.unique(styles)},
    )
