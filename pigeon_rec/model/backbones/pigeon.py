"""Pigeon as a backbone: tokenise, write, preview, shortlist, render."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import GenerationConfig
from pigeon_rec.model.backbones.protocol import Candidates, PictureRequests, Shortlist
from pigeon_rec.model.pipeline import Pipeline
from pigeon_rec.model.requests import CodedRequests
from pigeon_rec.model.version import model_version

__all__ = ["PigeonBackbone"]

Codes = NDArray[np.int64]
Images = NDArray[np.uint8]


class PigeonBackbone:
    """A pipeline, ours or the published one; `draw` is made of the steps below it.

    Args:
        pipeline: Writes, previews and renders.
        source: Bundled name or folder that the pipeline was loaded from; None for one in memory.
    """

    def __init__(self, pipeline: Pipeline, source: str | Path | None = None) -> None:
        self.pipeline = pipeline
        self._source = source
        self._encoded: tuple[Images, Codes] | None = None

    @cached_property
    def version(self) -> str:
        """Folder name and digest of the weights; digesting large ones takes a while."""
        return "in-memory" if self._source is None else model_version(self._source)

    @property
    def image_size(self) -> int:
        return self.pipeline.config.tokenizer.image_size

    @property
    def bit_exact(self) -> bool:
        return self.pipeline.placement.device == "cpu"

    def draw(self, requests: PictureRequests, generation: GenerationConfig) -> Candidates:
        codes = self.write(requests, generation)
        places = self.places(codes, generation, requests.shortlist)
        images = self.pipeline.render_candidates(codes, requests.keys, generation, places)
        return Candidates(images, np.array(generation.mask_ratios)[places])

    def codes(self, pictures: Images) -> Codes:
        """Visual codes int64 `[n, P]` of pictures; those of the array given last are kept."""
        if self._encoded is None or self._encoded[0] is not pictures:
            self._encoded = (pictures, self.pipeline.encode_images(pictures))
        return self._encoded[1]

    def write(self, requests: PictureRequests, generation: GenerationConfig) -> Codes:
        """Writes every candidate's visual tokens, int64 `[B, ratios, P]`."""
        codes = self.codes(requests.pictures)
        coded = CodedRequests(
            history=codes[requests.history_rows],
            reference=codes[requests.reference_rows],
            targets=requests.targets,
            keys=requests.keys,
            scenario=requests.scenario,
            history_texts=requests.history_texts,
        )
        return self.pipeline.write(coded, generation)

    def places(
        self, codes: Codes, generation: GenerationConfig, shortlist: Shortlist | None
    ) -> Codes:
        """Places of the candidates to render, int64 `[B, n]`.

        These are the `generation.rendered` candidates with the best previews; all of them if there
        are no more, if the model has no previews, or if there is no shortlist.
        """
        count, rendered = codes.shape[1], generation.rendered
        previews = shortlist is not None and self.pipeline.has_previews
        if shortlist is None or not previews or rendered is None or rendered >= count:
            return np.broadcast_to(np.arange(count), codes.shape[:2])
        return shortlist(self.pipeline.preview(codes), rendered)
