"""Masking of whole images' tokens, as the published code does it (arXiv 2410.14170, section 3.2).

History and target of a sample are scored in one row. The target's opening and closing ids are
scored with its codes, count, and can be dropped. Kept codes of the target are decoded without gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.model.mask_generator import HISTORY, PADDING, TARGET, MaskScores
from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.model.tokenizer_decoder import DecoderOutput, TokenizerDecoder
from pigeon_rec.model.tokens import ImageTokens, Vocabulary, pack

__all__ = ["MaskedImages", "ScoredImages", "decode_kept", "draw_masks", "score_images"]


@dataclass(frozen=True)
class ScoredImages:
    """Scores from which masks of any ratio are drawn.

    Attributes:
        history: Codes of the history images, without special ids.
        target: One image per sample, with its opening and closing ids.
        row: Both in one row per sample, as they are scored.
        types: Token types int64 `[B, T]` of `row`.
        scores: Relevance `[B, T]`.
    """

    history: ImageTokens
    target: ImageTokens
    row: ImageTokens
    types: Tensor
    scores: MaskScores


@dataclass(frozen=True)
class MaskedImages(ScoredImages):
    """Scored images with keep decisions in `keep` of history, target and row (0 at padding)."""


def score_images(
    personalisation: Personalisation,
    history: ImageTokens,
    target: ImageTokens,
    *,
    width: int | None = None,
) -> ScoredImages:
    """Scores history and target of every sample together.

    Args:
        personalisation: Embedding table and mask generator.
        history: Codes of the history images, without special ids.
        target: One image per sample, with its opening and closing ids.
        width: Width of a joined row; that of the longest row by default. With a fixed width no
            row's arithmetic depends on its neighbours.
    """
    generator = personalisation.mask_generator
    row = history.join(target)
    row = row if width is None else row.padded(width)
    of_target = row.image == history.lengths.shape[1]
    types = torch.where(of_target, TARGET, HISTORY).masked_fill(~row.present, PADDING)
    embeds = personalisation.token_embeddings(row.ids.clamp(min=0))
    # The closing ids of an image that keeps every patch are beyond the table of positions.
    positions = row.positions.clamp(max=generator.config.max_position)
    return ScoredImages(history, target, row, types, generator(embeds, positions, types))


def draw_masks(
    personalisation: Personalisation,
    scored: ScoredImages,
    history_ratio: float,
    target_ratio: float,
    gumbel: Tensor,
    *,
    rebuild: bool | None = None,
) -> MaskedImages:
    """Draws keep decisions for history and target.

    Args:
        personalisation: Its mask generator has scored the images.
        scored: From `score_images`.
        history_ratio: Share of the history's tokens to mask, 0 to 1.
        target_ratio: Share of the target's tokens to mask, 0 to 1.
        gumbel: Gumbel(0, 1) noise `[B, T]`, at each token's place in the joined row.
        rebuild: See `MaskGenerator.keep_target`.
    """
    generator, history, target = personalisation.mask_generator, scored.history, scored.target
    scores, types = scored.scores, scored.types
    keep = generator.keep_history(scores, types, history_ratio, gumbel)
    keep = keep + generator.keep_target(scores, types, target_ratio, gumbel, rebuild=rebuild)
    keep = generator.decisions(keep)
    behind = history.lengths.sum(1, keepdim=True)
    return MaskedImages(
        _with_keep(history, keep, torch.zeros_like(behind)),
        _with_keep(target, keep, behind),
        scored.row.with_keep(keep),
        types,
        scores,
    )


def _with_keep(tokens: ImageTokens, keep: Tensor, first: Tensor) -> ImageTokens:
    """Tokens with the decisions `keep` of a row in which they start at places `first [B, 1]`."""
    places = first + torch.arange(tokens.ids.shape[1], device=first.device)
    own = keep.gather(1, places.clamp(max=keep.shape[1] - 1))
    return tokens.with_keep(own.where(tokens.present, 1.0))


def decode_kept(
    decoder: TokenizerDecoder,
    codebook: Tensor,
    target: ImageTokens,
    vocabulary: Vocabulary,
    width: int | None = None,
) -> DecoderOutput:
    """Decodes the kept codes of a masked target, moved together.

    Args:
        decoder: Codes to prompt embeddings.
        codebook: Code rows `[codes, code_dim]`.
        target: One image per sample; special ids are left out.
        vocabulary: Which ids are codes.
        width: Places the decoder attends to; those of the longest row by default.
    """
    kept = target.present & (target.ids >= vocabulary.first_code) & (target.keep > 0.5)
    ids, keep, shown = pack(kept, target.ids, target.keep, kept)
    ids, keep, shown = (t[:, : decoder.config.queries] for t in (ids, keep, shown))
    if width is not None:
        more = max(0, width - ids.shape[1])
        ids, keep, shown = (F.pad(t, (0, more)) for t in (ids, keep, shown))
    vectors = F.embedding((ids - vocabulary.first_code).clamp(min=0), codebook)
    return decoder(vectors * keep.unsqueeze(-1).to(vectors.dtype), shown)
