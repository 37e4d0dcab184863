"""Other ways to condition the same weights on the user's history.

- `no_history`: every history token is masked. The model knows zero embeddings at these positions
  from training, but has never seen a prompt without the positions.
- `averaged_history`: as with users of one pooled image embedding (IP-Adapter, arXiv 2308.06721).
  Each position of a history image holds the mean, over the history images, of the embeddings at
  that position. Length, positions and mask stay as trained.
"""

from __future__ import annotations

from torch import Tensor, nn

from pigeon_rec.errors import ModelError
from pigeon_rec.evaluation.methods import Conditioning
from pigeon_rec.model.personalisation import Instruction, Personalisation
from pigeon_rec.model.pipeline import Pipeline

__all__ = ["conditioned"]


def conditioned(pipeline: Pipeline, how: Conditioning) -> Pipeline:
    """Returns a pipeline of the same class and weights (shared, not copied), conditioned that way.

    Raises:
        ModelError: Histories of images of different lengths cannot be averaged by position.
    """
    if how == "history":
        return pipeline
    if how == "no_history":
        return pipeline.with_parts(personalisation=_WithoutHistory(pipeline.personalisation))
    if not pipeline.personalisation.fixed_length:
        raise ModelError(
            "averaging a history needs images of equally many tokens",
            location="tokenizer.keep",
            remedy="Leave the method averaged_history out for this model",
        )
    patches = pipeline.config.tokenizer.patches
    return pipeline.with_parts(personalisation=_Averaging(pipeline.personalisation, patches))


class _Shared(Personalisation):
    """Another module's weights, under another way to embed the history."""

    def __init__(self, original: Personalisation) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(original.__dict__)

    def _history(self, instruction: Instruction) -> Tensor:
        """Where a history code stands, bool `[B, M]`: no other codes are in an instruction."""
        return instruction.ids >= self.vocabulary.first_code


class _WithoutHistory(_Shared):
    """Masks every history token; the reference is masked as usual."""

    def embed(self, instruction: Instruction, reference: Tensor) -> Tensor:
        embeds = super().embed(instruction, reference)
        return embeds.masked_fill(self._history(instruction).unsqueeze(-1), 0.0)


class _Averaging(_Shared):
    """Embeds each history image as the mean of all history images."""

    def __init__(self, original: Personalisation, patches: int) -> None:
        super().__init__(original)
        self.patches = patches

    def embed(self, instruction: Instruction, reference: Tensor) -> Tensor:
        embeds, codes = super().embed(instruction, reference), self._history(instruction)
        if not codes.any():
            return embeds  # the part of an instruction behind the history
        rows, width = len(embeds), embeds.shape[-1]
        shown = embeds[codes].view(rows, -1, self.patches, width)  # [B, images, P, hidden]
        gate = instruction.gate[codes].view(rows, -1, self.patches, 1).to(embeds.dtype)
        mean = shown.sum(1, keepdim=True) / gate.sum(1, keepdim=True).clamp(min=1.0)
        return embeds.masked_scatter(codes.unsqueeze(-1), mean * gate)
