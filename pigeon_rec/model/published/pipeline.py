"""The pipeline of published weights: it masks and decodes as the published code does.

At inference (paper section 3.2), history and reference of a request are scored in one row, the
reference with its opening and closing ids, which count and can be dropped; kept codes of the
reference are moved together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pigeon_rec.config import GenerationConfig
from pigeon_rec.model.base import BasePipeline
from pigeon_rec.model.published.generator import PublishedGenerator
from pigeon_rec.model.published.masking import decode_kept, draw_masks, score_images
from pigeon_rec.model.randomness import gumbel_noise
from pigeon_rec.model.requests import candidate_key
from pigeon_rec.model.tokenizer_decoder import DecoderOutput
from pigeon_rec.model.tokens import ImageTokens
from pigeon_rec.model.visual_tokenizer import NO_CODE

__all__ = ["PUBLISHED_GENERATION", "PublishedPipeline"]

PUBLISHED_GENERATION = GenerationConfig(
    history_mask_ratio=0.2,
    mask_ratios=tuple(tenth / 10 for tenth in range(11)),
    rendered=None,
    temperature=1.0,
    top_k=50,
    language_guidance=1.0,
    diffusion_steps=25,
    render_guidance=7.0,
)
"""Settings of the published runs (paper section 4.1.3), without their four beams."""


class PublishedPipeline(BasePipeline[PublishedGenerator]):
    """A pipeline of published parts; `load_published` builds one."""

    defaults: ClassVar[GenerationConfig] = PUBLISHED_GENERATION

    @property
    def image_shape(self) -> tuple[int, int]:
        return self.generator.size

    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        keys: Sequence[str],
        history_ratio: float,
        reference_ratios: Sequence[float],
    ) -> tuple[Tensor, Tensor]:
        vocabulary = self.personalisation.vocabulary
        in_history, in_reference = history != NO_CODE, reference != NO_CODE
        tokens = ImageTokens.from_codes(history, vocabulary)
        target = ImageTokens.from_codes(reference.unsqueeze(1), vocabulary).wrapped(vocabulary)
        width = in_history[0].numel() + reference.shape[1] + 2
        scored = score_images(self.personalisation, tokens, target, width=width)
        masked = [
            draw_masks(
                self.personalisation,
                scored,
                history_ratio,
                ratio,
                self._mask_noise(in_history, in_reference, keys, ratio),
                rebuild=False,
            )
            for ratio in reference_ratios
        ]
        code = target.present & (target.ids >= vocabulary.first_code)
        kept = [
            torch.ones(in_reference.shape, device=self.device).masked_scatter(
                in_reference, one.target.keep[code]
            )
            for one in masked
        ]
        ones = torch.ones(in_history.shape, device=self.device)
        kept_history = masked[0].history.keep[tokens.present]
        return ones.masked_scatter(in_history, kept_history), torch.stack(kept)

    def _mask_noise(
        self, in_history: Tensor, in_reference: Tensor, keys: Sequence[str], reference_ratio: float
    ) -> Tensor:
        """Gumbel noise `[B, width]` at each token's place in the row that is scored.

        Noise is drawn for every place, with a code or not, so that it depends on nothing else.
        """
        candidates = [candidate_key(key, reference_ratio) for key in keys]
        shared = gumbel_noise(keys, "mask", (in_history[0].numel(),))
        own = gumbel_noise(candidates, "mask", (in_reference.shape[1] + 2,))
        special = torch.ones(len(in_reference), 1, dtype=torch.bool, device=self.device)
        present = torch.cat([in_history.flatten(1), special, in_reference, special], dim=1)
        noise = torch.cat([shared, own], dim=1).to(self.device)
        order = (~present).long().argsort(dim=1, stable=True)
        return noise.gather(1, order)

    def decode(self, codes: Tensor, keep: Tensor | None = None) -> DecoderOutput:
        """As `BasePipeline.decode`; kept codes move together."""
        vocabulary = self.personalisation.vocabulary
        keep = torch.ones_like(codes, dtype=torch.float) if keep is None else keep
        tokens = ImageTokens.from_codes(codes.unsqueeze(1), vocabulary, keep.unsqueeze(1))
        return decode_kept(
            self.decoder,
            self.tokenizer.quantize.embedding.weight,
            tokens,
            vocabulary,
            width=codes.shape[1],
        )
