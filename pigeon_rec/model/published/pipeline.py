"""`PigeonPipeline` with published weights: masks and reference as the published code makes them.

At inference (paper section 3.2): history and reference of a request are scored in one row, the
reference with its opening and closing ids, which count and can be dropped; its kept codes move
together. All else is the pipeline's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, cast

import torch
from torch import Tensor

from pigeon_rec.config import GenerationConfig
from pigeon_rec.errors import ModelError
from pigeon_rec.model.masking import decode_kept, draw_masks, score_images
from pigeon_rec.model.pipeline import PigeonPipeline, candidate_key
from pigeon_rec.model.published.generator import PublishedGenerator
from pigeon_rec.model.randomness import gumbel_noise
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
"""Settings of the published runs (paper section 4.1.3), less their four beams."""


class PublishedPipeline(PigeonPipeline):
    """A pipeline of published parts; `load_published` makes one."""

    defaults: ClassVar[GenerationConfig] = PUBLISHED_GENERATION

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of a drawn picture."""
        # Called as ours is, and of a class of its own.
        return cast(PublishedGenerator, self.generator).size

    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        keys: Sequence[str],
        history_ratio: float,
        reference_ratios: Sequence[float],
    ) -> tuple[Tensor, Tensor]:
        vocabulary = self.personalisation.vocabulary
        shown, asked = history != NO_CODE, reference != NO_CODE
        target = ImageTokens.from_codes(reference.unsqueeze(1), vocabulary).wrapped(vocabulary)
        width = shown[0].numel() + reference.shape[1] + 2
        past = ImageTokens.from_codes(history, vocabulary)
        scored = score_images(self.personalisation, past, target, width=width)
        masked = [
            draw_masks(
                self.personalisation,
                scored,
                history_ratio,
                ratio,
                self._mask_noise(shown, asked, keys, ratio),
                rebuild=False,
            )
            for ratio in reference_ratios
        ]
        code = target.present & (target.ids >= vocabulary.first_code)
        ones = torch.ones(shown.shape, device=self.device)
        kept_history = masked[0].history.keep[past.present]
        kept = [
            torch.ones(asked.shape, device=self.device).masked_scatter(asked, m.target.keep[code])
            for m in masked
        ]
        return ones.masked_scatter(shown, kept_history), torch.stack(kept)

    def _mask_noise(
        self, shown: Tensor, asked: Tensor, keys: Sequence[str], reference_ratio: float
    ) -> Tensor:
        """Gumbel noise `[B, width]` at each token's place in the row that is scored."""
        candidates = [candidate_key(key, reference_ratio) for key in keys]
        past = gumbel_noise(keys, "mask", (shown[0].numel(),))
        own = gumbel_noise(candidates, "mask", (asked.shape[1] + 2,))
        special = torch.ones(len(asked), 1, dtype=torch.bool, device=self.device)
        present = torch.cat([shown.flatten(1), special, asked, special], dim=1)
        noise = torch.cat([past, own], dim=1).to(self.device)
        order = (~present).long().argsort(dim=1, stable=True)
        return noise.gather(1, order)

    def decode(self, codes: Tensor, keep: Tensor | None = None) -> DecoderOutput:
        vocabulary = self.personalisation.vocabulary
        keep = torch.ones_like(codes, dtype=torch.float) if keep is None else keep
        tokens = ImageTokens.from_codes(codes.unsqueeze(1), vocabulary, keep.unsqueeze(1))
        return decode_kept(
            self.decoder,
            self.tokenizer.quantize.embedding.weight,
            tokens,
            vocabulary,
            published=True,
            width=codes.shape[1],
        )

    def save_pretrained(self, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Refuses.

        Raises:
            ModelError: Always: the published folder is the model.
        """
        raise ModelError(
            f"a published model is not saved again, and not in {dtype}",
            location=str(path),
            remedy="Keep the published folder and Pigeon's checkpoint",
        )
