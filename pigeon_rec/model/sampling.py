"""Writing visual tokens: sampling with top-k from the language model, with caller-owned noise.

The published inference samples with top-k 50, top-p 1, temperature 1 over 4 beams (paper section
4.1.3). Here each candidate is one sample: its noise is drawn for it alone beforehand, so that its
codes depend on nothing else in the batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from transformers import Cache

from pigeon_rec.model.personalisation import Instruction, Personalisation
from pigeon_rec.model.prefix import ReadPrefix, read_on
from pigeon_rec.model.visual_tokenizer import NO_CODE

__all__ = ["sample_codes"]

_END = 0
"""Column of image end in `code_logits`."""


@torch.inference_mode()
def sample_codes(
    personalisation: Personalisation,
    instruction: Instruction,
    reference: Tensor,
    gumbel: Tensor,
    temperature: float = 1.0,
    guides: Tensor | None = None,
    render_guidance: float = 1.0,
    prefix: ReadPrefix | None = None,
) -> Tensor:
    """Writes one image per row.

    Args:
        personalisation: The model that writes.
        instruction: Left-padded instructions of B rows.
        reference: Reference tokens `[B, R, hidden]`.
        gumbel: Gumbel noise `[B, most codes, top-k]`; its last sizes set the longest list and k.
        temperature: Divides the logits; below 1 is more certain.
        guides: `[B, most codes, hidden]`, added where the code of each place is written.
        render_guidance: Logits move by this factor from those of untold rows to a row's own
            (classifier-free guidance, arXiv 2207.12598). The untold rows, with the reference masked
            away, stand behind those that `gumbel` is for; row i is led away from untold row i
            modulo their number. Without untold rows, or at 1, it samples as trained.
        prefix: What stands before the instructions and is read already, for B rows or fewer: row i
            reads on from beginning i modulo their number.

    Returns:
        Code rows int64 `[B, most codes]`, `NO_CODE` behind an image that ended early. With a fixed
        patch grid every row is full.
    """
    most = gumbel.shape[1]
    embeds = personalisation.embed(instruction, reference)
    attention, positions, cache = _begin(personalisation, instruction, prefix, most)
    if guides is not None:
        embeds[:, -1] += guides[:, 0]
    sides = _sides(len(gumbel), len(embeds)).to(reference.device)
    written: list[Tensor] = []
    alive = torch.ones(len(gumbel), dtype=torch.bool, device=reference.device)
    for step in range(most):
        logits, cache = _read(personalisation, embeds, attention, positions, cache, prefix)
        if len(logits) < len(sides):
            # Untold rows differ from the first code on, by what they are to have written.
            logits, attention, positions = (t[sides] for t in (logits, attention, positions))
            guides = None if guides is None else guides[sides]
            cache.batch_select_indices(sides)
        logits = _guided(logits, len(gumbel), render_guidance) / temperature
        if personalisation.fixed_length or step == 0:
            logits[:, _END] = -math.inf
        column = _drawn(logits, gumbel[:, step])
        alive = alive & (column != _END)
        written.append(torch.where(alive, column - 1, NO_CODE))
        if not alive.any():
            break
        ids = personalisation.vocabulary.image_end + column
        ids = ids.repeat(len(sides) // len(ids))
        embeds = personalisation.token_embeddings(ids).unsqueeze(1)
        if guides is not None and step + 1 < most:
            embeds = embeds + guides[:, step + 1 : step + 2]
        attention = torch.cat([attention, attention.new_ones(len(ids), 1)], dim=1)
        positions = positions[:, -1:] + 1
    codes = torch.stack(written, dim=1)
    return torch.nn.functional.pad(codes, (0, most - codes.shape[1]), value=NO_CODE)


def _begin(
    personalisation: Personalisation,
    instruction: Instruction,
    prefix: ReadPrefix | None,
    most: int,
) -> tuple[Tensor, Tensor, Cache | None]:
    """Attention and positions `[B, M]` of the instructions, and where their keys will be kept."""
    attention, positions = instruction.attention, instruction.positions
    if prefix is None:
        return attention, positions, None
    copies = prefix.copies(len(attention))
    positions = positions + prefix.attention.sum(1, keepdim=True).repeat(copies, 1)
    return attention, positions, read_on(personalisation, attention.shape[1] + most)


def _read(
    personalisation: Personalisation,
    embeds: Tensor,
    attention: Tensor,
    positions: Tensor,
    cache: Cache | None,
    prefix: ReadPrefix | None,
) -> tuple[Tensor, Cache]:
    """Scores of the next code, float32 `[B, 1 + codes]`, and keys and values of all so far."""
    behind = {} if prefix is None else {"prefix": prefix}
    out = personalisation.language_model.model(
        inputs_embeds=embeds,
        attention_mask=attention.long(),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        **behind,
    )
    return personalisation.code_logits(out.last_hidden_state[:, -1]).float(), out.past_key_values


def _sides(told: int, rows: int) -> Tensor:
    """Rows to write on with, int64: those that are told, and an untold one for each of them."""
    itself = torch.arange(told)
    return itself if rows == told else torch.cat([itself, told + itself % (rows - told)])


def _guided(logits: Tensor, rows: int, scale: float) -> Tensor:
    """Scores `[2 B, codes]` of both sides -> `[B, codes]`; as they come where nothing guides."""
    if len(logits) == rows or scale == 1.0:
        return logits[:rows]
    told, untold = logits.log_softmax(-1).chunk(2)
    return untold + scale * (told - untold)


def _drawn(logits: Tensor, gumbel: Tensor) -> Tensor:
    """One column of each row int64 `[B]`: the best of the top k by score plus noise `[B, k]`."""
    best, columns = logits.topk(gumbel.shape[1], dim=-1)
    return columns.gather(1, (best + gumbel).argmax(-1, keepdim=True))[:, 0]
