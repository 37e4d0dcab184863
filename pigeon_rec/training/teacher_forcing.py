"""Reading given visual tokens with the language model: what every stage after the backbone needs.

The model is told a masked history, the target's text and a masked reference, and then the codes of
a picture one after another; its scores say how likely it would have written them (paper section
3.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.model.personalisation import Instruction, InstructionTexts, Personalisation
from pigeon_rec.model.text_tokenizer import PAD_ID
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.preference import IGNORED
from pigeon_rec.training.recipe import Losses

__all__ = [
    "Conditioning",
    "code_labels",
    "code_loss",
    "code_losses",
    "read_codes",
    "select_texts",
    "target_texts",
    "with_codes",
]


@dataclass(frozen=True)
class Conditioning:
    """What the language model is told about a batch.

    Attributes:
        texts: Text around the pictures, one target text per row.
        history: int64 code rows `[B, images, P]`.
        history_keep: `[B, images, P]`, 0 where masked; may carry gradient (straight-through).
        reference: int64 code rows `[B, P]`.
        reference_keep: `[B, P]`, likewise.
    """

    texts: InstructionTexts
    history: Tensor
    history_keep: Tensor
    reference: Tensor
    reference_keep: Tensor


def target_texts(stickers: TrainingArtwork) -> list[str]:
    """The instruction's text for every sticker as a target (concept only, never the style)."""
    prompt = load_prompt("sticker")
    columns = stickers.rows.select("title", "semantics", "category").iter_rows()
    return [prompt.target(*row) for row in columns]


def select_texts(texts: InstructionTexts, rows: Tensor) -> InstructionTexts:
    """The texts whose targets are `rows`, int64 `[B]`."""
    return InstructionTexts(
        texts.prefix, texts.target[rows], texts.target_mask[rows], texts.response
    )


def with_codes(asked: Instruction, codes: Tensor, first_code: int) -> Instruction:
    """An instruction followed by the codes to read, padded right where a picture has fewer.

    Args:
        asked: Instructions `[B, M]`.
        codes: int64 `[B, P]`.
        first_code: Id of code 0.
    """
    present = codes != NO_CODE
    return Instruction(
        ids=torch.cat([asked.ids, torch.where(present, codes + first_code, PAD_ID)], dim=1),
        gate=torch.cat([asked.gate, asked.gate.new_ones(codes.shape)], dim=1),
        attention=torch.cat([asked.attention, present], dim=1),
    )


def read_codes(
    personalisation: Personalisation,
    decoder: TokenizerDecoder,
    code_rows: Tensor,
    told: Conditioning,
    codes: Tensor,
) -> Tensor:
    """Scores of every next visual token while `codes` are read.

    Args:
        personalisation: The model.
        decoder: Frozen tokenizer decoder of the reference.
        code_rows: The codebook, `[codebook, code_dim]`.
        told: What the model knows.
        codes: int64 `[B, P]`, the picture that is read.

    Returns:
        `[B, P + 1, 1 + codebook]`: place i scores code i before it is read, the last place what
        follows the last; column 0 is image end, the others are the codes.
    """
    vectors = code_rows[told.reference.clamp(min=0)] * told.reference_keep.unsqueeze(-1)
    decoded = decoder(vectors, told.reference_keep > 0.5)
    adapted = personalisation.adapter(decoded)
    asked = personalisation.instruct(told.texts, told.history, told.history_keep)
    instruction = with_codes(asked, codes, personalisation.vocabulary.first_code)
    embeds = personalisation.embed(instruction, adapted)
    aligned = personalisation.aligned_embeddings(decoded, told.reference, told.reference_keep)
    hidden = personalisation.language_model.model(
        inputs_embeds=personalisation.add_aligned(embeds, aligned),
        attention_mask=instruction.attention.long(),
        position_ids=instruction.positions,
    ).last_hidden_state
    return personalisation.code_logits(hidden[:, -codes.shape[1] - 1 :])


def code_labels(codes: Tensor) -> Tensor:
    """Columns of `read_codes` to be written, int64 `[B, P + 1]`: the codes, then image end.

    Behind the end of a picture with fewer codes stands `IGNORED`.
    """
    absent = codes == NO_CODE
    labels = F.pad((codes + 1).masked_fill(absent, 0), (0, 1))
    labels[:, 1:].masked_fill_(absent, IGNORED)
    return labels


def code_loss(logits: Tensor, codes: Tensor) -> Tensor:
    """Cross-entropy of the codes and the closing token.

    Args:
        logits: `[B, P + 1, 1 + codebook]`, column 0 is image end.
        codes: int64 `[B, P]`.
    """
    labels = code_labels(codes).flatten()
    return F.cross_entropy(logits.float().flatten(0, 1), labels, ignore_index=IGNORED)


def code_losses(logits: Tensor, codes: Tensor) -> Losses:
    """`loss` and the share of codes that score highest (`accuracy`), from `read_codes`."""
    present = codes != NO_CODE
    hit = (logits[:, :-1].argmax(-1) == codes + 1) & present
    return {"loss": code_loss(logits, codes), "accuracy": hit.sum() / present.sum()}
