"""Requests as a pipeline writes them: histories and references are visual codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.data.prompts import PromptTemplate
from pigeon_rec.errors import ModelError

__all__ = ["CodedRequests", "candidate_key"]


def candidate_key(key: str, ratio: float) -> str:
    """Returns the key of all randomness of one candidate: its request's key and its mask ratio."""
    return f"{key}/{ratio}"


@dataclass(frozen=True)
class CodedRequests:
    """B requests.

    Attributes:
        history: int64 code rows `[B, images, P]` of the user's interacted items, padded with
            `NO_CODE`.
        reference: int64 code rows `[B, P]`.
        targets: Text of each reference (see `PromptTemplate.target`).
        keys: One string per request; all its randomness is derived from it.
        scenario: Name of a bundled scenario, path of a scenario's file, or a template read before.
        history_texts: Text before each history image, `[B][images]` (see
            `PromptTemplate.history`); None for scenarios without such texts.

    Raises:
        ModelError: The fields differ in the number of requests.
    """

    history: NDArray[np.int64]
    reference: NDArray[np.int64]
    targets: Sequence[str]
    keys: Sequence[str]
    scenario: str | PromptTemplate = "sticker"
    history_texts: Sequence[Sequence[str]] | None = None

    def __post_init__(self) -> None:
        counts = [len(self.history), len(self.reference), len(self.targets), len(self.keys)]
        if len(set(counts)) > 1:
            raise ModelError(
                "history, reference, targets and keys must have one entry per request",
                location=f"received {', '.join(map(str, counts))}",
            )

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, rows: NDArray[np.int64]) -> CodedRequests:
        """Returns the requests at these row numbers; a row may repeat."""
        texts = self.history_texts
        return replace(
            self,
            history=self.history[rows],
            reference=self.reference[rows],
            targets=[self.targets[row] for row in rows],
            keys=[self.keys[row] for row in rows],
            history_texts=None if texts is None else [texts[row] for row in rows],
        )
