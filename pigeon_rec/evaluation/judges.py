"""The judges: which of 8 styles a picture has, and which of 100 concepts it shows.

Both are linear in hand-made features (`pigeon_rec.evaluation.features`), where the scorer is a
trained patch transformer. They never choose a picture, only measure it. What they are worth
themselves is told by `held_out_accuracy`: their answers on real artwork that no training step,
theirs included, has read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.demo.stickers import load_stickers
from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation.features import FEATURES

__all__ = [
    "CANDIDATES",
    "JUDGES_PATH",
    "Judge",
    "JudgeAccuracy",
    "Judges",
    "held_out_accuracy",
]

JUDGES_PATH: Final = Path(__file__).parent / "weights"
CANDIDATES: Final = 100
"""Concepts to choose the right one from."""

_BATCH = 256

Images = NDArray[np.uint8]
Vectors = NDArray[np.float32]


class Judge:
    """Hand-made features, a linear embedding, and a prototype for each class.

    Args:
        kind: Whose features: `style` or `concept`.
        classes: What it tells apart.
        mean: Of the features, `[d]`.
        projection: `[d, e]`.
        prototypes: Unit vectors `[classes, e]`.
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
        # As they are stored, so that a judge just fitted answers like one that was loaded.
        self._mean = mean.astype(np.float32)
        self._projection = projection.astype(np.float32)
        self._prototypes = prototypes.astype(np.float16).astype(np.float32)
        self._place = {name: place for place, name in enumerate(self.classes)}

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
        """Writes what `load` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        config = _JudgeConfig(kind=self.kind, classes=self.classes)
        (folder / "config.json").write_text(config.model_dump_json() + "\n", encoding="utf-8")
        weights: dict[str, NDArray[Any]] = {
            "mean": self._mean,
            "projection": np.ascontiguousarray(self._projection),
            "prototypes": np.ascontiguousarray(self._prototypes.astype(np.float16)),
        }
        save_file(weights, folder / "model.safetensors")

    def places(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Places of class names among `classes`; -1 for what the judge does not know."""
        return np.array([self._place.get(name, -1) for name in names], dtype=np.int64)

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


class _JudgeConfig(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["style", "concept"]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]


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
            if place < 0:
                continue
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
