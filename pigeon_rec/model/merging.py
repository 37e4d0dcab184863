"""Text and images as one sequence for the language model (arXiv 2410.14170, "personalized module").

A text holds an image start where an image belongs and an image end where the reference belongs.
Merging replaces the first by the image's tokens and the second by a place for the reference's
embedding, for whole batches at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.model.text_tokenizer import PAD_ID
from pigeon_rec.model.tokens import REFERENCE, ImageTokens, Vocabulary

__all__ = ["Instruction", "label_last", "merge_images", "stack_rows"]


@dataclass(frozen=True)
class Instruction:
    """Merged instructions, padded left.

    Attributes:
        ids: int64 `[B, M]`; -2 where a reference token stands.
        gate: `[B, M]`, multiplies the embeddings: 0 for masked history codes.
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
    """Puts each image's tokens in the place of its image start, in order.

    An image start behind the last image stays as it is: an opened image, for the model to write.

    Args:
        text_ids: int64 `[B, L]` with an image start for each image, or one more, and an image end
            for each reference token.
        text_mask: bool `[B, L]`, False at padding, which may stand anywhere.
        images: The images of each sample, wrapped or bare; their own start and end ids stay.
        vocabulary: Tells the ids apart.
        width: Places of a merged row; the longest row's by default.

    Raises:
        ValueError: A text has fewer places than images, or a row is longer than `width`.
    """
    filled, widths = _places(text_ids, text_mask, images.lengths, vocabulary)
    lengths = widths.sum(1, keepdim=True)
    longest = max(lengths.flatten().tolist(), default=0)
    width = longest if width is None else width
    if longest > width:
        raise ValueError(f"a merged row has {longest} tokens, more than {width}")
    # All rows' tokens in one line; row by row, they fill the attended places of the batch.
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
    count = lengths.shape[1]
    start = (text_ids == vocabulary.image_start) & text_mask
    number = start.cumsum(1) - 1  # of the next image
    filled = start & (number < count)
    if bool((filled.sum(1) != count).any()):
        raise ValueError(f"every text needs a place for each of its {count} images")
    # One column more than images, for what is no image's place.
    own = F.pad(lengths, (0, 1)).gather(1, number.clamp(0, count))
    return filled, torch.where(filled, own, text_mask.long())


def label_last(ids: Tensor, counts: Tensor, ignored: int = -100) -> Tensor:
    """Labels int64 `[B, M]`: the ids of each row's last `counts [B]` places, `ignored` before."""
    places = torch.arange(ids.shape[1], device=ids.device)
    return torch.where(places >= ids.shape[1] - counts.unsqueeze(1), ids, ignored)


def stack_rows(first: Tensor, second: Tensor, fill: float) -> Tensor:
    """Two batches as one: `[A, L]` and `[B, N]` -> `[A + B, max(L, N)]`, padded left by `fill`."""
    width = max(first.shape[1], second.shape[1])
    padded = (F.pad(rows, (width - rows.shape[1], 0), value=fill) for rows in (first, second))
    return torch.cat(list(padded))
