"""Text and images as one sequence for the language model (arXiv 2410.14170, "personalized module").

A text has an image start at the place of each image and an image end at the place of each reference
token. Merging replaces the first by the image's tokens and the second by `REFERENCE`, for whole
batches at once. Samples may have different numbers of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.model.text_tokenizer import PAD_ID
from pigeon_rec.model.tokens import REFERENCE, ImageTokens, Vocabulary

__all__ = ["Instruction", "merge_images"]


@dataclass(frozen=True)
class Instruction:
    """Merged instructions, padded left.

    Attributes:
        ids: int64 `[B, M]`; `REFERENCE` at the places of reference tokens.
        gate: Float `[B, M]`, multiplies the embeddings: 0 for masked codes.
        attention: bool `[B, M]`, False at padding only (masked codes are attended to).
    """

    ids: Tensor
    gate: Tensor
    attention: Tensor

    @property
    def positions(self) -> Tensor:
        """Rotary positions int64 `[B, M]`, 0 at the first real token."""
        return (self.attention.long().cumsum(1) - 1).clamp(min=0)


def merge_images(
    text_ids: Tensor,
    text_mask: Tensor,
    images: ImageTokens,
    vocabulary: Vocabulary,
    width: int | None = None,
) -> Instruction:
    """Replaces the image starts of each text by the sample's images, in order.

    An image start behind the sample's last image stays: it opens the image to be written.

    Args:
        text_ids: int64 `[B, L]` with an image start for each image, or more, and an image end for
            each reference token.
        text_mask: bool `[B, L]`, False at padding, which may be anywhere.
        images: The images of each sample, wrapped or bare; their own start and end ids stay. An
            image of length 0 is padding and has no place in the text.
        vocabulary: Which ids are special.
        width: Width of the merged rows; that of the longest row by default.

    Raises:
        ValueError: A text has fewer places than its sample has images, or a row is longer than
            `width`.
    """
    filled, widths = _places(text_ids, text_mask, images.lengths, vocabulary)
    lengths = widths.sum(1, keepdim=True)
    longest = max(lengths.flatten().tolist(), default=0)
    width = longest if width is None else width
    if longest > width:
        raise ValueError(f"a merged row has {longest} tokens, more than {width}")
    # Tokens of all rows, one row after the other: they fill the attended places of the batch.
    source = torch.repeat_interleave(widths.flatten())
    of_image = filled.flatten()[source]
    ids = text_ids.flatten()[source]
    ids = torch.where(ids == vocabulary.image_end, REFERENCE, ids)
    ids = ids.masked_scatter(of_image, images.ids[images.present])
    gate = images.keep.new_ones(ids.shape).masked_scatter(of_image, images.keep[images.present])
    attention = torch.arange(width, device=text_ids.device) >= width - lengths
    return Instruction(
        ids=text_ids.new_full(attention.shape, PAD_ID).masked_scatter(attention, ids),
        gate=gate.new_ones(attention.shape).masked_scatter(attention, gate),
        attention=attention,
    )


def _places(
    text_ids: Tensor, text_mask: Tensor, lengths: Tensor, vocabulary: Vocabulary
) -> tuple[Tensor, Tensor]:
    """Which text tokens an image replaces, and how many tokens each becomes; both `[B, L]`."""
    real = lengths > 0
    counts = real.sum(1, keepdim=True)
    start = (text_ids == vocabulary.image_start) & text_mask
    number = start.cumsum(1) - 1  # of the last image start so far, from 0
    filled = start & (number < counts)
    for row in (filled.sum(1) < counts[:, 0]).nonzero()[:1, 0].tolist():
        raise ValueError(
            f"text {row} has {int(filled[row].sum())} places for its {int(counts[row])} images"
        )
    # The lengths of real images first, and one more column for tokens that are no image's place.
    order = (~real).long().argsort(dim=1, stable=True)
    own = F.pad(lengths.gather(1, order), (0, 1)).gather(1, number.clamp(0, lengths.shape[1]))
    return filled, torch.where(filled, own, text_mask.long())
