"""Teacher forcing: logits of the language model for given codes (paper section 3.3).

The model reads a masked history, the target's text and a masked reference, then the codes of an
image; the logits give the probability of each code given those before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.model.personalisation import Instruction, InstructionTexts, Personalisation
from pigeon_rec.model.text_tokenizer import PAD_ID
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE
from pigeon_rec.training.preference import IGNORED
from pigeon_rec.training.recipe import Losses

__all__ = [
    "Conditioning",
    "code_labels",
    "code_losses",
    "read_codes",
    "read_sharing",
    "select_texts",
    "with_codes",
]


@dataclass(frozen=True)
class Conditioning:
    """The conditioning of a batch.

    Attributes:
        texts: Text around the images, one target text per row.
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


def select_texts(texts: InstructionTexts, rows: Tensor) -> InstructionTexts:
    """Selects the texts of requests; `rows` is int64 `[B]`."""
    return InstructionTexts(
        prefix=texts.prefix,
        target=texts.target[rows],
        target_mask=texts.target_mask[rows],
        response=texts.response,
        history=None if texts.history is None else texts.history[rows],
        history_mask=None if texts.history_mask is None else texts.history_mask[rows],
    )


def with_codes(instruction: Instruction, codes: Tensor, first_code: int) -> Instruction:
    """Appends codes int64 `[B, P]` to instructions `[B, M]`, with padding after the last code."""
    present = codes != NO_CODE
    ids = torch.where(present, codes + first_code, PAD_ID)
    gate = instruction.gate.new_ones(codes.shape)
    return Instruction(
        ids=torch.cat([instruction.ids, ids], dim=1),
        gate=torch.cat([instruction.gate, gate], dim=1),
        attention=torch.cat([instruction.attention, present], dim=1),
    )


def read_codes(
    personalisation: Personalisation,
    decoder: TokenizerDecoder,
    code_rows: Tensor,
    given: Conditioning,
    codes: Tensor,
) -> Tensor:
    """Logits of every next visual token while `codes` are read.

    Args:
        personalisation: The model.
        decoder: Frozen tokenizer decoder of the reference.
        code_rows: The codebook, `[codebook, code_dim]`.
        given: The conditioning.
        codes: int64 `[B, P]`, the codes of an image.

    Returns:
        `[B, P + 1, 1 + codebook]`: position i predicts code i, the last position the image end;
        column 0 is image end, the others are the codes.
    """
    vectors = code_rows[given.reference.clamp(min=0)] * given.reference_keep.unsqueeze(-1)
    decoded = decoder(vectors, given.reference_keep > 0.5)
    adapted = personalisation.adapter(decoded)
    instruction = personalisation.instruct(given.texts, given.history, given.history_keep)
    instruction = with_codes(instruction, codes, personalisation.vocabulary.first_code)
    embeds = personalisation.embed(instruction, adapted)
    aligned = personalisation.aligned_embeddings(decoded, given.reference, given.reference_keep)
    hidden = personalisation.language_model.model(
        inputs_embeds=personalisation.add_aligned(embeds, aligned),
        attention_mask=instruction.attention.long(),
        position_ids=instruction.positions,
        use_cache=False,
    ).last_hidden_state
    return personalisation.code_logits(hidden[:, -codes.shape[1] - 1 :])


def read_sharing(
    personalisation: Personalisation,
    prefix: Tensor,
    rows: Tensor,
    attention: Tensor,
    prefix_attention: Tensor | None = None,
) -> Tensor:
    """Hidden states of rows that share a prefix; the same as if each row had it in front.

    Prefix and rows are one sequence, in which a row sees the prefix and itself, and the rotary
    positions of every row go on behind the prefix.

    Args:
        personalisation: The model.
        prefix: Embeddings `[users, L, hidden]`.
        rows: Embeddings `[users, rows, M, hidden]`.
        attention: bool `[users, rows, M]`, False at padding.
        prefix_attention: bool `[users, L]`, False at padding on the left; None if there is none.

    Returns:
        `[users, rows, M, hidden]`.
    """
    users, length = prefix.shape[:2]
    if prefix_attention is None:
        prefix_attention = torch.ones(users, length, dtype=torch.bool, device=prefix.device)
    places = (prefix_attention.long().cumsum(1) - 1).clamp(min=0)
    begun = prefix_attention.sum(1)[:, None, None]
    behind = (attention.long().cumsum(2) - 1).clamp(min=0) + begun
    hidden = personalisation.language_model.model(
        inputs_embeds=torch.cat([prefix, rows.flatten(1, 2)], dim=1),
        attention_mask=_sharing_mask(prefix_attention, attention),
        position_ids=torch.cat([places, behind.flatten(1)], dim=1),
        use_cache=False,
    ).last_hidden_state
    return torch.as_tensor(hidden[:, length:]).unflatten(1, attention.shape[1:])


def _sharing_mask(prefix: Tensor, attention: Tensor) -> Tensor:
    """Which position sees which, bool `[users, 1, L, L]`; arguments as of `read_sharing`."""
    _, rows, length = attention.shape
    row = torch.arange(rows, device=attention.device).repeat_interleave(length)
    row = F.pad(row, (prefix.shape[1], 0), value=-1)  # -1: the prefix
    seen = ((row == -1) | (row == row[:, None])).tril()
    present = torch.cat([prefix, attention.flatten(1)], dim=1)
    # Padding sees itself: a softmax over nothing would not be finite.
    itself = torch.eye(len(row), dtype=torch.bool, device=attention.device)
    return ((seen & present[:, None]) | itself).unsqueeze(1)


def code_labels(codes: Tensor) -> Tensor:
    """Labels of `read_codes`, int64 `[B, P + 1]`: the codes, image end, then `IGNORED`."""
    absent = codes == NO_CODE
    labels = F.pad((codes + 1).masked_fill(absent, 0), (0, 1))
    labels[:, 1:].masked_fill_(absent, IGNORED)
    return labels


def code_losses(logits: Tensor, codes: Tensor, label_smoothing: float = 0.0) -> Losses:
    """Losses from the logits of `read_codes`.

    `loss` is the mean cross-entropy of the codes and the image end, `accuracy` the share of codes
    that have the highest logit. `label_smoothing` is the share of probability that goes to all.
    """
    present = codes != NO_CODE
    labels = code_labels(codes).flatten()
    loss = F.cross_entropy(
        logits.float().flatten(0, 1), labels, ignore_index=IGNORED, label_smoothing=label_smoothing
    )
    hit = (logits[:, :-1].argmax(-1) == codes + 1) & present
    return {"loss": loss, "accuracy": hit.sum() / present.sum()}
