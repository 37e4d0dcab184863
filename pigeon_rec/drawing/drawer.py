"""Drawing requests with one model: write, preview, shortlist, render, score, choose.

Night, evaluation, pair maker and benchmarks all draw through `Drawer`, as a whole (`draw`) or step
by step. A candidate's bytes depend on its request, mask ratio and settings only: not on the batch
it is drawn in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import GenerationConfig, QualityGateConfig
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.drawing.choice import Choice, Conditions, choose
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.drawing.request import Request
from pigeon_rec.drawing.texts import described_texts, history_texts, target_texts
from pigeon_rec.model.loading import load_pipeline
from pigeon_rec.model.pipeline import Pipeline
from pigeon_rec.model.requests import CodedRequests
from pigeon_rec.placement import Placement
from pigeon_rec.scoring import SafetyChecker, load_safety_checker, shortlist
from pigeon_rec.scoring.scorer import Scorer, load_scorer

__all__ = ["Drawer", "DrawnAsset"]

Codes = NDArray[np.int64]
Images = NDArray[np.uint8]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class DrawnAsset:
    """The chosen candidate of one request.

    Attributes:
        request: The request.
        image: uint8 `[side, side, 3]`, the square as the model draws it.
        mask_ratio: Share of reference tokens that were masked.
        choice: Its scores, and its rejection if the quality gate refused every candidate.
    """

    request: Request
    image: Images
    mask_ratio: float
    choice: Choice


@dataclass(frozen=True)
class Drawer:
    """A model, its scorer and a catalogue, with the settings they draw by.

    Attributes:
        pipeline: Writes, previews and renders.
        scorer: Scores, shortlists and feeds the quality gate.
        catalogue: Source of pictures and texts.
        prompt: The scenario.
        generation: Mask ratios, sampling and rendering.
        gate: Limits of the quality gate.
        unsafe: Checker of unsafe content, if any.
    """

    pipeline: Pipeline
    scorer: Scorer
    catalogue: Catalogue
    prompt: PromptTemplate
    generation: GenerationConfig
    gate: QualityGateConfig
    unsafe: SafetyChecker | None = None

    @classmethod
    def load(
        cls,
        model: str,
        *,
        catalogue: str = "bundled",
        scenario: str = "sticker",
        generation: GenerationConfig | None = None,
        gate: QualityGateConfig | None = None,
        placement: Placement | None = None,
    ) -> Drawer:
        """Loads a model with its scorer, and a catalogue.

        Args:
            model: Name of a bundled model, or folder of a saved one.
            catalogue: `bundled`, or the path of an `items.parquet`.
            scenario: Name of a bundled scenario, or path of a scenario's file.
            generation: How to draw; a night's defaults if left out.
            gate: Limits of the quality gate; a night's defaults if left out.
            placement: Device and numeric type.

        Raises:
            PigeonError: Model, scorer, catalogue or scenario cannot be loaded.
        """
        gate = gate or QualityGateConfig()
        unsafe, prompt = load_safety_checker(gate.safety), load_prompt(scenario)
        return cls(
            pipeline=load_pipeline(model, placement=placement),
            scorer=load_scorer(model),
            catalogue=load_catalogue(catalogue, prompt.aspect),
            prompt=prompt,
            generation=generation or GenerationConfig(),
            gate=gate,
            unsafe=unsafe,
        )

    def with_generation(self, **changes: object) -> Drawer:
        """The same drawer with some generation settings replaced."""
        return replace(self, generation=self.generation.model_copy(update=changes))

    def items(self, requests: Iterable[Request]) -> ItemTable:
        """Reads every picture that the requests need."""
        item_ids = {item for request in requests for item in request.items}
        return ItemTable(self.catalogue, item_ids, self.pipeline, self.scorer)

    def draw(self, requests: Sequence[Request], items: ItemTable) -> list[DrawnAsset]:
        """Draws the requests, in their order; their pictures must be usable.

        Histories of different lengths are different shapes, so each length is drawn by itself.
        """
        drawn: dict[int, DrawnAsset] = {}
        for length in sorted({len(request.history) for request in requests}):
            rows = [row for row, r in enumerate(requests) if len(r.history) == length]
            drawn |= zip(rows, self._draw([requests[row] for row in rows], items), strict=True)
        return [drawn[row] for row in range(len(requests))]

    def _draw(self, requests: Sequence[Request], items: ItemTable) -> list[DrawnAsset]:
        codes, conditions = self.write(requests, items), self.conditions(requests, items)
        places = self.shortlist(codes, conditions)
        images = self.render(codes, requests, places)
        choices = self.choose(images, requests, items, conditions)
        return [
            DrawnAsset(
                request,
                images[row, choice.place],
                self.generation.mask_ratios[places[row, choice.place]],
                choice,
            )
            for row, (request, choice) in enumerate(zip(requests, choices, strict=True))
        ]

    def write(self, requests: Sequence[Request], items: ItemTable) -> Codes:
        """Writes every candidate's visual tokens, int64 `[requests, ratios, P]`.

        Args:
            requests: With histories of one length.
            items: From `items`.
        """
        described = self.catalogue.rows([request.described_by for request in requests])
        histories = [request.history for request in requests]
        coded = CodedRequests(
            history=items.codes[np.stack([items.rows(history) for history in histories])],
            reference=items.codes[items.rows([request.reference for request in requests])],
            targets=target_texts(self.prompt, described),
            keys=[request.key for request in requests],
            scenario=self.prompt,
            history_texts=history_texts(self.prompt, self.catalogue, histories),
        )
        return self.pipeline.write(coded, self.generation)

    def conditions(self, requests: Sequence[Request], items: ItemTable) -> Conditions:
        """What the requests' candidates are scored against."""
        described = self.catalogue.rows([request.described_by for request in requests])
        history = np.stack([items.rows(request.history) for request in requests])
        return Conditions(
            text=self.scorer.encode_texts(described_texts(described)),
            history=items.embeddings[history],
            reference=items.embeddings[items.rows([request.reference for request in requests])],
        )

    def shortlist(self, codes: Codes, conditions: Conditions) -> Places:
        """Places of the candidates to render, int64 `[requests, n]`.

        These are the `generation.rendered` candidates whose previews score best; all of them if
        there are no more, or if the model has no previews.
        """
        count, rendered = codes.shape[1], self.generation.rendered
        if rendered is None or rendered >= count or not self.pipeline.has_previews:
            return np.broadcast_to(np.arange(count), codes.shape[:2])
        scores = conditions.scores(self.embed(self.pipeline.preview(codes)))
        return shortlist(scores["selection_score"], rendered)

    def render(
        self, codes: Codes, requests: Sequence[Request], places: Places | None = None
    ) -> Images:
        """Renders candidates, uint8 `[requests, n, side, side, 3]`; all of them by default."""
        keys = [request.key for request in requests]
        return self.pipeline.render_candidates(codes, keys, self.generation, places)

    def embed(self, images: Images) -> NDArray[np.float32]:
        """The scorer's unit vectors `[requests, candidates, d]` of pictures."""
        flat = self.scorer.encode_images(images.reshape(-1, *images.shape[2:]))
        return flat.reshape(*images.shape[:2], -1)

    def choose(
        self,
        images: Images,
        requests: Sequence[Request],
        items: ItemTable,
        conditions: Conditions,
    ) -> list[Choice]:
        """Scores renderings `[requests, n, side, side, 3]` and chooses one per request."""
        embedded = self.embed(images)
        scores = conditions.scores(embedded)
        if self.gate.min_reference_likeness is not None:
            scores["likeness_score"] = conditions.likeness(embedded)
        references = items.images[items.rows([request.reference for request in requests])]
        return [
            choose(
                images[row],
                {name: values[row] for name, values in scores.items()},
                references[row],
                self.gate,
                self.unsafe,
            )
            for row in range(len(requests))
        ]
