"""What a night asks of a backbone: pictures and texts in, candidates out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import GenerationConfig
from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.errors import ModelError

__all__ = ["Backbone", "Candidates", "PictureRequests", "Shortlist"]

Images = NDArray[np.uint8]
Rows = NDArray[np.int64]
Shortlist = Callable[[Images, int], Rows]
"""Rough candidates uint8 `[B, n, H, W, 3]` and a number m -> places of the best m, `[B, m]`."""


@dataclass(frozen=True)
class PictureRequests:
    """B requests with histories of one length.

    Attributes:
        pictures: Squares of all items of a shard, uint8 `[n, side, side, 3]`, each once. It is the
            same array for all requests of the shard, so what is computed of it can be kept.
        history_rows: Rows of the users' items in `pictures`, int64 `[B, length]`.
        reference_rows: Row of each reference in `pictures`, int64 `[B]`.
        targets: Text of what is to be drawn (see `PromptTemplate.target`), one per request.
        keys: One per request; all its random numbers must be derived from it.
        scenario: Instruction, words and aspect ratio.
        history_texts: Text before each history picture, `[B][length]`; None for scenarios without
            such texts.
        shortlist: Chooses among rough candidates as the scorer will among the finished ones; a
            backbone that can preview cheaply may call it, and finish the best only.
    """

    pictures: Images
    history_rows: Rows
    reference_rows: Rows
    targets: Sequence[str]
    keys: Sequence[str]
    scenario: PromptTemplate
    history_texts: Sequence[Sequence[str]] | None = None
    shortlist: Shortlist | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def history(self) -> Images:
        """Pictures of the users' items, uint8 `[B, length, side, side, 3]`."""
        return self.pictures[self.history_rows]

    @property
    def reference(self) -> Images:
        """Pictures to personalise, uint8 `[B, side, side, 3]`."""
        return self.pictures[self.reference_rows]


@dataclass(frozen=True)
class Candidates:
    """What a backbone drew.

    Attributes:
        images: Squares of any side, uint8 `[B, n, side, side, 3]`, at least one per request.
        mask_ratios: Share of each reference that was hidden or replaced, 0 to 1, `[B, n]`; it is
            kept with the asset. Zero if left out.

    Raises:
        ModelError: The arrays are not of these types and shapes.
    """

    images: Images
    mask_ratios: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        images, ratios = np.asarray(self.images), self.mask_ratios
        square = images.ndim == 5 and images.shape[2] == images.shape[3] and images.shape[4] == 3
        if images.dtype != np.uint8 or not square or not images.shape[1] or not images.shape[2]:
            raise ModelError(
                "a backbone's candidates must be squares, uint8 [requests, n, side, side, 3]",
                location=f"received {images.dtype} {list(images.shape)}",
            )
        if ratios is not None and not (
            np.shape(ratios) == images.shape[:2] and ((ratios >= 0.0) & (ratios <= 1.0)).all()
        ):
            raise ModelError(
                f"`mask_ratios` must be numbers from 0 to 1, {list(images.shape[:2])}",
                location=f"received {list(np.shape(ratios))}",
            )

    def mask_ratio(self, row: int, place: int) -> float:
        """The mask ratio of one candidate."""
        return 0.0 if self.mask_ratios is None else float(self.mask_ratios[row, place])


@runtime_checkable
class Backbone(Protocol):
    """Draws candidates for requests.

    A request's candidates must depend on the request, the settings and the version only: the
    asset key stands for the picture. Where `bit_exact` is true, they must be the same bytes in any
    batch.
    """

    @property
    def version(self) -> str:
        """Names the weights and the way they draw; part of every asset key.

        It is asked for before a night is planned: it should not need the weights.
        """

    @property
    def image_size(self) -> int:
        """Side in pixels of the pictures it is given."""

    @property
    def bit_exact(self) -> bool:
        """Whether a request gives the same bytes in any batch."""

    def draw(self, requests: PictureRequests, generation: GenerationConfig) -> Candidates:
        """Draws the candidates of the requests, in their order, equally many for each."""
