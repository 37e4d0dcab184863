"""The same weights, told of the user in another way.

- `no_history`: every history token is masked. Zero embeddings in their places are what the model
  knows from training as "nothing to see here"; a prompt without those places it has never met.
- `averaged_history`: what users of one pooled image embedding do (IP-Adapter, arXiv 2308.06721).
  Each place of the history holds the mean, over the history pictures, of the embeddings there.
  Length, places and mask stay as trained, so that only the blending differs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation.methods import Conditioning
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.personalisation import Instruction, Personalisation
from pigeon_rec.model.pipeline import PigeonPipeline

__all__ = ["conditioned"]


def conditioned(pipeline: PigeonPipeline, how: Conditioning) -> PigeonPipeline:
    """A pipeline of the same weights (shared, not copied) that is told of the history that way.

    Raises:
        ModelError: Histories of images of different lengths cannot be averaged place by place.
    """
    if how == "history":
        return pipeline
    if how == "no_history":
        return _remade(_WithoutHistory, pipeline, pipeline.personalisation)
    if not pipeline.personalisation.fixed_length:
        raise ModelError(
            "averaging a history needs images of equally many tokens",
            location="tokenizer.keep",
            remedy="Leave the method averaged_history out for this model",
        )
    averaging = _Averaging(pipeline.config)
    averaging.load_state_dict(pipeline.personalisation.state_dict(), assign=True)
    return _remade(PigeonPipeline, pipeline, averaging)


def _remade(
    kind: type[PigeonPipeline], pipeline: PigeonPipeline, personalisation: Personalisation
) -> PigeonPipeline:
    return kind(
        pipeline.config,
        pipeline.tokenizer,
        pipeline.decoder,
        personalisation,
        pipeline.generator,
        pipeline.text,
        pipeline.batch_size,
    )


class _WithoutHistory(PigeonPipeline):
    """Masks every history token; the reference is masked as ever."""

    def masks(
        self,
        history: Tensor,
        reference: Tensor,
        keys: Sequence[str],
        history_ratio: float,
        reference_ratios: Sequence[float],
    ) -> tuple[Tensor, Tensor]:
        kept, kept_reference = super().masks(
            history, reference, keys, history_ratio, reference_ratios
        )
        return torch.zeros_like(kept), kept_reference


class _Averaging(Personalisation):
    """Shows the mean of the history pictures in the place of each of them."""

    def __init__(self, config: PigeonConfig) -> None:
        super().__init__(config)
        self.patches = config.tokenizer.patches

    def embed(self, instruction: Instruction, reference: Tensor) -> Tensor:
        embeds = super().embed(instruction, reference)
        # Codes stand in an instruction for history pictures alone, and all rows have as many.
        codes = instruction.ids >= self.vocabulary.first_code
        if not codes.any():
            return embeds  # the part of an instruction behind the history
        rows, width = len(embeds), embeds.shape[-1]
        shown = embeds[codes].view(rows, -1, self.patches, width)  # [B, images, P, hidden]
        gate = instruction.gate[codes].view(rows, -1, self.patches, 1).to(embeds.dtype)
        mean = shown.sum(1, keepdim=True) / gate.sum(1, keepdim=True).clamp(min=1.0)
        return embeds.masked_scatter(codes.unsqueeze(-1), mean * gate)
