"""Labels, stacked batches and masks as the published code makes them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.published.masking import MaskedImages, draw_masks, score_images
from pigeon_rec.model.tokens import ImageTokens

__all__ = ["label_last", "last_lengths", "mask_images", "stack_rows"]


def label_last(ids: Tensor, counts: Tensor, ignored: int = -100) -> Tensor:
    """Labels int64 `[B, M]`: the ids at each row's last `counts [B]` places, `ignored` before."""
    places = torch.arange(ids.shape[1], device=ids.device)
    return torch.where(places >= ids.shape[1] - counts.unsqueeze(1), ids, ignored)


def last_lengths(lengths: Tensor) -> Tensor:
    """Length of each sample's last image, `[B]`; images of length 0 are padding."""
    number = torch.arange(1, lengths.shape[1] + 1, device=lengths.device)
    last = ((lengths > 0) * number).argmax(1, keepdim=True)
    return lengths.gather(1, last)[:, 0]


def stack_rows(first: Tensor, second: Tensor, fill: float) -> Tensor:
    """Two batches as one: `[A, L]` and `[B, N]` -> `[A + B, max(L, N)]`, padded left by `fill`."""
    width = max(first.shape[1], second.shape[1])
    padded = (F.pad(rows, (width - rows.shape[1], 0), value=fill) for rows in (first, second))
    return torch.cat(list(padded))


def mask_images(
    personalisation: Personalisation,
    images: tuple[ImageTokens, ImageTokens],
    ratios: tuple[float, float],
    gumbel: Tensor,
    *,
    rebuild: bool | None = None,
    width: int | None = None,
) -> MaskedImages:
    """Scores history and target of every sample together and draws both masks.

    Args:
        personalisation: Embedding table and mask generator.
        images: The history's images, and one target per sample.
        ratios: Shares of the history's and of the target's tokens to mask, 0 to 1.
        gumbel: Gumbel(0, 1) noise `[B, T]`, at each token's place in the joined row.
        rebuild: See `MaskGenerator.keep_target`.
        width: Width of a joined row; that of the longest by default.
    """
    scored = score_images(personalisation, *images, width=width)
    return draw_masks(personalisation, scored, *ratios, gumbel, rebuild=rebuild)
