"""Drawing requests with one backbone: draw candidates, score, choose.

Night, evaluation, pair maker and benchmarks all draw through `Drawer`, as a whole (`draw`) or, with
Pigeon, step by step: write, preview, shortlist, render. A candidate's bytes depend on its request,
mask ratio and settings only: not on the batch it is drawn in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import BackboneConfig, GenerationConfig, QualityGateConfig
from pigeon_rec.data.catalogue import Catalogue, load_catalogue
from pigeon_rec.data.prompts import PromptTemplate, load_prompt
from pigeon_rec.drawing.choice import Choice, Conditions, choose
from pigeon_rec.drawing.items import ItemTable
from pigeon_rec.drawing.models import scorer_source
from pigeon_rec.drawing.request import Request
from pigeon_rec.drawing.texts import described_texts, history_texts, target_texts
from pigeon_rec.errors import ModelError
from pigeon_rec.model.backbones.load import load_backbone
from pigeon_rec.model.backbones.pigeon import PigeonBackbone
from pigeon_rec.model.backbones.protocol import Backbone, Candidates, PictureRequests
from pigeon_rec.model.pipeline import Pipeline
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
        backbone: Draws the candidates.
        scorer: Scores, shortlists and feeds the quality gate.
        catalogue: Source of pictures and texts.
        prompt: The scenario.
        generation: Mask ratios, sampling and rendering.
        gate: Limits of the quality gate.
        unsafe: Checker of unsafe content, if any.
    """

    backbone: Backbone
    scorer: Scorer
    catalogue: Catalogue
    prompt: PromptTemplate
    generation: GenerationConfig
    gate: QualityGateConfig
    unsafe: SafetyChecker | None = None

    @classmethod
    def load(  # noqa: PLR0913 - one argument per part of a night's settings
        cls,
        model: str,
        *,
        catalogue: str = "bundled",
        scenario: str = "sticker",
        generation: GenerationConfig | None = None,
        gate: QualityGateConfig | None = None,
        placement: Placement | None = None,
        scorer: str | None = None,
        backbone: BackboneConfig | None = None,
    ) -> Drawer:
        """Loads a model with its scorer, and a catalogue.

        Args:
            model: Name of a bundled model, folder of a model, or `module:function`.
            catalogue: `bundled`, or the path of an `items.parquet`.
            scenario: Name of a bundled scenario, or path of a scenario's file.
            generation: How to draw; a night's defaults if left out.
            gate: Limits of the quality gate; a night's defaults if left out.
            placement: Device and numeric type.
            scorer: Bundled name or folder of the scorer; the model's own if left out.
            backbone: Options of a backbone other than Pigeon.

        Raises:
            PigeonError: Model, scorer, catalogue or scenario cannot be loaded.
        """
        gate = gate or QualityGateConfig()
        unsafe, prompt = load_safety_checker(gate.safety), load_prompt(scenario)
        return cls(
            backbone=load_backbone(model, placement, backbone),
            scorer=load_scorer(scorer_source(model, scorer)),
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
        return ItemTable(self.catalogue, item_ids, self.backbone.image_size, self.scorer)

    @property
    def pigeon(self) -> PigeonBackbone:
        """The backbone, for whoever draws with Pigeon step by step.

        Raises:
            ModelError: It is another one.
        """
        if not isinstance(self.backbone, PigeonBackbone):
            raise ModelError(
                f"the backbone {self.backbone.version!r} cannot be drawn with step by step",
                remedy="Use one of Pigeon's models: this works on their visual tokens",
            )
        return self.backbone

    @property
    def pipeline(self) -> Pipeline:
        """Pigeon's pipeline; raises as `pigeon`."""
        return self.pigeon.pipeline

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
        conditions = self.conditions(requests, items)
        shown = replace(self.shown(requests, items), shortlist=partial(self._best, conditions))
        drawn = self.backbone.draw(shown, self.generation)
        _check_count(drawn, requests, self.backbone)
        choices = self.choose(drawn.images, requests, items, conditions)
        return [
            DrawnAsset(
                request,
                drawn.images[row, choice.place],
                drawn.mask_ratio(row, choice.place),
                choice,
            )
            for row, (request, choice) in enumerate(zip(requests, choices, strict=True))
        ]

    def shown(self, requests: Sequence[Request], items: ItemTable) -> PictureRequests:
        """The requests as the backbone gets them; their histories are of one length."""
        described = self.catalogue.rows([request.described_by for request in requests])
        histories = [request.history for request in requests]
        return PictureRequests(
            pictures=items.images,
            history_rows=np.stack([items.rows(history) for history in histories]),
            reference_rows=items.rows([request.reference for request in requests]),
            targets=target_texts(self.prompt, described),
            keys=[request.key for request in requests],
            scenario=self.prompt,
            history_texts=history_texts(self.prompt, self.catalogue, histories),
        )

    def codes(self, items: ItemTable) -> Codes:
        """Visual codes int64 `[n, P]` of the items, as Pigeon sees them."""
        return self.pigeon.codes(items.images)

    def write(self, requests: Sequence[Request], items: ItemTable) -> Codes:
        """Writes every candidate's visual tokens, int64 `[requests, ratios, P]`.

        Args:
            requests: With histories of one length.
            items: From `items`.
        """
        return self.pigeon.write(self.shown(requests, items), self.generation)

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
        """Places of the candidates to render, int64 `[requests, n]` (`PigeonBackbone.places`)."""
        return self.pigeon.places(codes, self.generation, partial(self._best, conditions))

    def _best(self, conditions: Conditions, images: Images, count: int) -> Places:
        return shortlist(conditions.scores(self.embed(images))["selection_score"], count)

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


def _check_count(drawn: Candidates, requests: Sequence[Request], backbone: Backbone) -> None:
    if len(drawn.images) != len(requests):
        raise ModelError(
            f"{len(drawn.images)} requests were drawn instead of {len(requests)}",
            location=f"backbone {backbone.version!r}",
            remedy="Its `draw` must return candidates of every request, in their order",
        )
