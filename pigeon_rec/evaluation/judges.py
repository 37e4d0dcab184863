"""The judges: classifiers of a picture's style, and of its concept or item (among 100).

Of the bundled stickers they know 8 styles and all concepts. A catalogue without styles has no style
judge, and one without concepts has an item judge in place of the concept judge.

A judge is a small network (`pigeon_rec.evaluation.network`) and one unit vector per class, its
prototype; the class with the nearest prototype wins. A new class needs only artwork, no training.
Judges only measure and never choose a picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
"""Number of concepts or items, the right one included, in a hit."""

_PROTOTYPES: Final = "prototypes"
_KINDS: Final = ("style", "concept", "item")

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
            images: Artwork of the class, uint8 `[n, H, W, 3]`; at least one.
        """
        return self._with({name: _unit(self.embed(images).mean(0))})

    def with_pictures(self, names: Sequence[str], images: Images) -> Judge:
        """Returns a judge that also knows pictures as classes of their own.

        Args:
            names: Name of each picture; the prototype of a known one is replaced.
            images: uint8 `[n, H, W, 3]`.
        """
        return self._with(dict(zip(names, self.embed(images), strict=True)))

    def _with(self, prototypes: Mapping[str, Vectors]) -> Judge:
        known = {**dict(zip(self.classes, self._prototypes, strict=True)), **prototypes}
        return Judge(list(known), self._network, np.stack(list(known.values())))

    @property
    def image_size(self) -> int:
        """Side in pixels at which it sees pictures."""
        return self._network.config.image_size

    def codes(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Returns the positions of names in `classes`; -1 for an unknown name."""
        return np.array([self._code.get(name, -1) for name in names], dtype=np.int64)

    def embed(self, images: Images) -> Vectors:
        """uint8 `[n, H, W, 3]` -> unit vectors float32 `[n, e]`."""
        return embed(self._network, images).numpy()

    def scores(self, embeddings: Vectors) -> Vectors:
        """Unit vectors `[n, e]` -> cosine with each class, float32 `[n, classes]`."""
        return embeddings @ self._prototypes.T


class _JudgeConfig(Settings):
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    network: NetworkConfig


@dataclass(frozen=True)
class Judges:
    """The judges of one catalogue; at least one of `concept` and `item`.

    Attributes:
        style: Judge of styles; None if the catalogue has none.
        concept: Judge of concepts; None likewise.
        item: Judge whose classes are single items, in place of the concept judge.
    """

    style: Judge | None
    concept: Judge | None
    item: Judge | None = None

    @classmethod
    def load(cls, folder: Path = JUDGES_PATH) -> Judges:
        """Loads the bundled judges, or those in a folder of `train_judges` or `fit_judges`.

        Raises:
            ModelError: A judge is damaged, or there is none.
        """
        found = {
            kind: Judge.load(folder / kind) for kind in _KINDS if (folder / kind).is_dir()
        } or {"style": Judge.load(folder / "style")}  # for its message
        return cls(**{kind: found.get(kind) for kind in _KINDS})

    def save(self, folder: Path) -> None:
        """Writes a folder for each judge."""
        for kind, judge in self.by_kind().items():
            judge.save(folder / kind)

    def by_kind(self) -> dict[str, Judge]:
        """The judges that there are, by `style`, `concept` or `item`."""
        every = ((kind, getattr(self, kind)) for kind in _KINDS)
        return {kind: judge for kind, judge in every if judge is not None}

    @property
    def content(self) -> Judge | None:
        """The judge of what a picture shows: its concept, or else its item."""
        return self.concept or self.item

    def styles(self, embeddings: Vectors) -> list[str]:
        """Predicts the style of each picture from embeddings of the style judge.

        Raises:
            ValueError: There is no style judge.
        """
        if self.style is None:
            raise ValueError("there is no judge of styles")
        return [self.style.classes[code] for code in self.style.scores(embeddings).argmax(1)]

    def concept_hits(
        self, embeddings: Vectors, concepts: Sequence[str | None], keys: Sequence[str]
    ) -> NDArray[np.bool_]:
        """Whether the right concept or item scores best among 100, bool `[n]`.

        Args:
            embeddings: Of the judge `content`, float32 `[n, d]`.
            concepts: The right class of each row; None is never hit.
            keys: Key of each row; decides the 99 other classes, the same for every method.

        Raises:
            ValueError: There is no such judge.
        """
        if self.content is None:
            raise ValueError("there is no judge of concepts or items")
        scores = self.content.scores(embeddings)
        right = self.content.codes([concept or "" for concept in concepts])
        hits = np.zeros(len(right), dtype=np.bool_)
        for row, (code, key) in enumerate(zip(right, keys, strict=True)):
            if code < 0:
                continue
            others = _others(int(code), len(self.content.classes), key)
            hits[row] = scores[row, code] > scores[row, others].max()
        return hits


def _others(right: int, count: int, key: str) -> NDArray[np.int64]:
    seed = int.from_bytes(hashlib.sha256(f"concepts/{key}".encode()).digest()[:8], "big")
    size = min(CHOICES, count) - 1
    drawn = np.random.default_rng(seed).choice(count - 1, size, replace=False)
    return drawn + (drawn >= right)  # skips the right one


def _unit(vector: Vectors) -> Vectors:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
