"""From the candidates of a case to the one picture that a night would serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pigeon_rec.drawing import Request
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.evaluation.baselines import resized
from pigeon_rec.evaluation.candidates import CandidateStore
from pigeon_rec.evaluation.methods import Candidate, Method
from pigeon_rec.evaluation.settings import EvaluationSettings

__all__ = ["Chooser", "Chosen"]


@dataclass(frozen=True)
class Chosen:
    """One picture per case.

    Attributes:
        images: uint8 `[n, side, side, 3]`.
        rejected: 1 if the quality gate refused every candidate, so that a night would serve the
            original; NaN for methods without candidates. float64 `[n]`.
    """

    images: NDArray[np.uint8]
    rejected: NDArray[np.float64]


@dataclass(frozen=True)
class Chooser:
    """Shortlists and chooses through `pigeon_rec.drawing`, as a night does.

    Attributes:
        store: The drawn candidates.
        items: Every item of the cases.
        settings: Seed and generation settings.
    """

    store: CandidateStore
    items: ItemTable
    settings: EvaluationSettings

    def shortlist(self, method: Method, cases: pl.DataFrame) -> list[list[Candidate]]:
        """The candidates of each case to render; all of them must be written."""
        generation, seed = self.settings.generation, self.settings.seed
        candidates = [method.candidates(case, generation, seed) for case in cases.to_dicts()]
        if method.kind != "drawn":
            return candidates
        drawer = self.store.drawer(method.model)
        conditions = drawer.conditions(_requests(candidates), self.items)
        codes = np.stack([self.store.codes(own) for own in candidates])
        places = drawer.shortlist(codes, conditions)
        return [[own[place] for place in row] for own, row in zip(candidates, places, strict=True)]

    def choose(
        self, method: Method, cases: pl.DataFrame, candidates: Sequence[Sequence[Candidate]]
    ) -> Chosen:
        """The pictures of one method by case, from the rendered candidates of `shortlist`."""
        ungated = np.full(cases.height, np.nan)
        if method.kind == "original":
            return Chosen(
                self.items.images[self.items.rows(cases[method.artwork].to_list())], ungated
            )
        images = np.stack([self.store.renderings(own) for own in candidates])
        if method.kind == "round_trip":
            return Chosen(images[:, 0], ungated)
        model = method.model
        if method.kind == "backbone":  # scoring needs no backbone: any drawer does
            images, model = resized(images[:, 0], self.items.images.shape[1])[:, None], "full"
        drawer, requests = self.store.drawer(model), _requests(candidates)
        conditions = drawer.conditions(requests, self.items)
        choices = drawer.choose(images, requests, self.items, conditions)
        places = [choice.place for choice in choices]
        rejected = np.array([choice.rejection is not None for choice in choices], np.float64)
        return Chosen(images[np.arange(len(images)), places], rejected)


def _requests(candidates: Sequence[Sequence[Candidate]]) -> list[Request]:
    """One request per case: all of its candidates have the same history and reference."""
    return [own[0].request for own in candidates]
