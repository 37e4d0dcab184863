"""Writing visual tokens: top-k sampling from the language model, with noise given by the caller.

The published inference samples with top-k 50, top-p 1, temperature 1 over 4 beams (paper section
4.1.3). Here each candidate is one sample with noise of its own, so that its codes depend on nothing
else in the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import Cache

from pigeon_rec.model.personalisation import Instruction, Personalisation
from pigeon_rec.model.prefix import ReadPrefix, read_on
from pigeon_rec.model.visual_tokenizer import NO_CODE

__all__ = ["WritingPrompt", "sample_codes"]

_END = 0
"""Column of image end in `code_logits`."""


@dataclass(frozen=True)
class WritingPrompt:
    """What the language model reads before it writes B images.

    Attributes:
        instruction: B rows, padded left.
        reference: Reference tokens `[B, R, hidden]`.
        aligned: `[B, most codes, hidden]`, added where the code of each place is written, or None;
            see `Personalisation.aligned_embeddings`.
        prefix: What stands before the instructions and has been read already, for B rows or fewer:
            row i continues beginning i modulo their number.
    """

    instruction: Instruction
    reference: Tensor
    aligned: Tensor | None = None
    prefix: ReadPrefix | None = None


@torch.inference_mode()
def sample_codes(
    personalisation: Personalisation,
    prompt: WritingPrompt,
    gumbel: Tensor,
    temperature: float = 1.0,
    language_guidance: float = 1.0,
) -> Tensor:
    """Writes N images.

    Args:
        personalisation: The model that writes.
        prompt: N conditional rows, then any number of unconditional rows, with the reference
            masked away.
        gumbel: Gumbel noise `[N, most codes, top-k]`; its last sizes set the longest image and k.
        temperature: Divides the logits; below 1 is more certain.
        language_guidance: Scale of classifier-free guidance (arXiv 2207.12598): logits move by this
            factor from those of unconditional row i modulo their number to those of conditional row
            i. Without unconditional rows, or at 1, there is no guidance.

    Returns:
        Code rows int64 `[N, most codes]`, `NO_CODE` behind an image that ended early. With a fixed
        patch grid every row is full.
    """
    most, aligned = gumbel.shape[1], prompt.aligned
    embeds = personalisation.embed(prompt.instruction, prompt.reference)
    attention, positions, cache = _begin(personalisation, prompt, most)
    if aligned is not None:
        embeds[:, -1] += aligned[:, 0]
    both = _both_sides(len(gumbel), len(embeds)).to(embeds.device)
    written: list[Tensor] = []
    alive = torch.ones(len(gumbel), dtype=torch.bool, device=embeds.device)
    for step in range(most):
        logits, cache = _read(personalisation, embeds, attention, positions, cache, prompt.prefix)
        if len(logits) < len(both):
            # Unconditional rows differ from the first code on, by the codes written so far.
            logits, attention, positions = (t[both] for t in (logits, attention, positions))
            aligned = None if aligned is None else aligned[both]
            cache.batch_select_indices(both)
        logits = _guided(logits, len(gumbel), language_guidance) / temperature
        if personalisation.fixed_length or step == 0:
            logits[:, _END] = -math.inf
        column = _sampled(logits, gumbel[:, step])
        alive = alive & (column != _END)
        written.append(torch.where(alive, column - 1, NO_CODE))
        if not alive.any():
            break
        ids = personalisation.vocabulary.image_end + column
        ids = ids.repeat(len(both) // len(ids))
        embeds = personalisation.token_embeddings(ids).unsqueeze(1)
        if aligned is not None and step + 1 < most:
            embeds = embeds + aligned[:, step + 1 : step + 2]
        attention = torch.cat([attention, attention.new_ones(len(ids), 1)], dim=1)
        positions = positions[:, -1:] + 1
    codes = torch.stack(written, dim=1)
    return torch.nn.functional.pad(codes, (0, most - codes.shape[1]), value=NO_CODE)


def _begin(
    personalisation: Personalisation, prompt: WritingPrompt, most: int
) -> tuple[Tensor, Tensor, Cache | None]:
    """Attention and positions `[B, M]` of the instructions, and a cache for what follows."""
    attention, positions = prompt.instruction.attention, prompt.instruction.positions
    if prompt.prefix is None:
        return attention, positions, None
    copies = prompt.prefix.copies(len(attention))
    positions = positions + prompt.prefix.attention.sum(1, keepdim=True).repeat(copies, 1)
    return attention, positions, read_on(personalisation, attention.shape[1] + most)


def _read(
    personalisation: Personalisation,
    embeds: Tensor,
    attention: Tensor,
    positions: Tensor,
    cache: Cache | None,
    prefix: ReadPrefix | None,
) -> tuple[Tensor, Cache]:
    """Logits of the next code, float32 `[B, 1 + codes]`, and keys and values of all so far."""
    more = {} if prefix is None else {"prefix": prefix}
    out = personalisation.language_model.model(
        inputs_embeds=embeds,
        attention_mask=attention.long(),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **more,
    )
    return personalisation.code_logits(out.last_hidden_state[:, -1]).float(), out.past_key_values


def _both_sides(conditional: int, rows: int) -> Tensor:
    """Row numbers int64: the conditional rows, then the unconditional row of each of them."""
    itself = torch.arange(conditional)
    if rows == conditional:
        return itself
    return torch.cat([itself, conditional + itself % (rows - conditional)])


def _guided(logits: Tensor, rows: int, scale: float) -> Tensor:
    """Logits `[2 N, codes]` of both sides -> guided log-probabilities `[N, codes]`."""
    if len(logits) == rows or scale == 1.0:
        return logits[:rows]
    conditional, unconditional = logits.log_softmax(-1).chunk(2)
    return unconditional + scale * (conditional - unconditional)


def _sampled(logits: Tensor, gumbel: Tensor) -> Tensor:
    """One column of each row int64 `[N]`: the best of the top k by logit plus noise `[N, k]`."""
    best, columns = logits.topk(gumbel.shape[1], dim=-1)
    return columns.gather(1, (best + gumbel).argmax(-1, keepdim=True))[:, 0]
