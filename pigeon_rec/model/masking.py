"""Masking whole images' tokens before they are merged (arXiv 2410.14170, "mask generation module").

History and target of a sample are scored in one row. As published, decisions overwrite ids and the
target's opening and closing ids are scored with its codes; otherwise decisions are gates with a
gradient, and those ids always stay.
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

__all__ = [
    "MaskedImages",
    "ScoredImages",
    "decode_kept",
    "draw_masks",
    "mask_images",
    "score_images",
]


@dataclass(frozen=True)
class ScoredImages:
    """What masks of any ratio are drawn from.

    Attributes:
        history: Bare codes of the history images.
        target: One image per sample.
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
    """The same with what the mask generator decided, in `keep` of history, target and row.

    In the row it is 0 at padding too.
    """


def mask_images(
    personalisation: Personalisation,
    history: ImageTokens,
    target: ImageTokens,
    history_ratio: float,
    target_ratio: float,
    gumbel: Tensor,
    *,
    rebuild: bool | None = None,
    width: int | None = None,
) -> MaskedImages:
    """Scores history and target of every sample together and draws both masks.

    Args:
        personalisation: Its embedding table and mask generator, with the generator's `published`.
        history: Bare codes of the history images.
        target: One image per sample; as published, with its opening and closing ids.
        history_ratio: Share of the history's tokens to mask, 0 to 1.
        target_ratio: Share of the target's.
        gumbel: Gumbel(0, 1) noise `[B, T]`, at each token's place in the joined row.
        rebuild: See `MaskGenerator.keep_target`.
        width: Places of a joined row; the longest row's by default. With one width for all, no
            row's arithmetic depends on its neighbours.
    """
    scored = score_images(personalisation, history, target, width=width)
    return draw_masks(personalisation, scored, history_ratio, target_ratio, gumbel, rebuild=rebuild)


def score_images(
    personalisation: Personalisation,
    history: ImageTokens,
    target: ImageTokens,
    *,
    width: int | None = None,
) -> ScoredImages:
    """The first half of `mask_images`, which asks for no ratio; arguments as there."""
    generator = personalisation.mask_generator
    row = history.join(target)
    row = row if width is None else row.padded(width)
    of_target = row.image == history.lengths.shape[1]
    types = torch.where(of_target, TARGET, HISTORY).masked_fill(~row.present, PADDING)
    if not generator.config.published:
        types = types.masked_fill(_special(row, personalisation.vocabulary), PADDING)
    embeds = personalisation.token_embeddings(row.ids.clamp(min=0))
    # The opening and closing ids of an image that keeps every patch stand beyond the table.
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
    """The second half of `mask_images`; arguments as there."""
    generator = personalisation.mask_generator
    history, target, row = scored.history, scored.target, scored.row
    scores, types = scored.scores, scored.types
    keep = generator.keep_history(scores, types, history_ratio, gumbel)
    keep = keep + generator.keep_target(scores, types, target_ratio, gumbel, rebuild=rebuild)
    keep = generator.decisions(keep)
    if not generator.config.published:
        keep = torch.where(_special(row, personalisation.vocabulary), 1.0, keep)
    behind = history.lengths.sum(1, keepdim=True)
    return MaskedImages(
        _kept_of(history, keep, torch.zeros_like(behind)),
        _kept_of(target, keep, behind),
        row.with_keep(keep),
        types,
        scores,
    )


def _special(row: ImageTokens, vocabulary: Vocabulary) -> Tensor:
    """Opening and closing ids, bool `[B, T]`."""
    return row.present & (row.ids < vocabulary.first_code)


def _kept_of(tokens: ImageTokens, keep: Tensor, first: Tensor) -> ImageTokens:
    """Tokens that stand at places `first [B, 1]` and on of a row with decisions `keep`."""
    places = first + torch.arange(tokens.ids.shape[1], device=first.device)
    own = keep.gather(1, places.clamp(max=keep.shape[1] - 1))
    return tokens.with_keep(own.where(tokens.present, 1.0))


def decode_kept(
    decoder: TokenizerDecoder,
    codebook: Tensor,
    target: ImageTokens,
    vocabulary: Vocabulary,
    *,
    published: bool = False,
    width: int | None = None,
) -> DecoderOutput:
    """Prompt embeddings of a masked target: what its kept codes still tell.

    Args:
        decoder: Codes to prompt embeddings.
        codebook: Code rows `[codes, code_dim]`.
        target: One image per sample; ids that are no codes are left out.
        vocabulary: Tells codes from other ids.
        published: Kept codes move together, and masked ones leave no gap. Otherwise every code
            keeps its position, and decisions pass gradient on.
        width: Places the decoder looks at, codes or not; those of the longest row by default.
    """
    code = target.present & (target.ids >= vocabulary.first_code)
    kept = code & (target.keep > 0.5)
    ids, keep, shown = pack(kept if published else code, target.ids, target.keep, kept)
    ids, keep, shown = (t[:, : decoder.config.queries] for t in (ids, keep, shown))
    if width is not None:
        more = max(0, width - ids.shape[1])
        ids, keep, shown = (F.pad(t, (0, more)) for t in (ids, keep, shown))
    vectors = F.embedding((ids - vocabulary.first_code).clamp(min=0), codebook)
    return decoder(vectors * keep.unsqueeze(-1).to(vectors.dtype), shown)
