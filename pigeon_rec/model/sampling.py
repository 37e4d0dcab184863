"""Writing visual tokens: top-k sampling from the language model, with noise given by the caller.

The published inference samples with top-k 50, top-p 1, temperature 1 over 4 beams (paper section
4.1.3). Here each candidate is one sample with noise of its own, so that its codes depend on nothing
else in the batch.

Classifier-free guidance (arXiv 2207.12598) acts on the reference, on the history, or on both, each
with a scale of its own, as with several conditions in arXiv 2211.09800 (section 3.2). Unlike there,
unconditional rows lack one condition and keep the other. With log-probabilities of rows that read
both, no reference, or no history:

    guided = both + (language_guidance - 1) * (both - no_reference)
                  + (history_guidance - 1) * (both - no_history)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
        no_history: As `prefix`, with the history masked away; None for no guidance on the history.
    """

    instruction: Instruction
    reference: Tensor
    aligned: Tensor | None = None
    prefix: ReadPrefix | None = None
    no_history: ReadPrefix | None = None

    def without_history(self, rows: int) -> WritingPrompt:
        """Returns the first rows, which then continue `no_history`."""
        parts = (self.instruction.ids, self.instruction.gate, self.instruction.attention)
        instruction = Instruction(*(part[:rows] for part in parts))
        aligned = None if self.aligned is None else self.aligned[:rows]
        return WritingPrompt(instruction, self.reference[:rows], aligned, self.no_history)


@torch.inference_mode()
def sample_codes(
    personalisation: Personalisation,
    prompt: WritingPrompt,
    gumbel: Tensor,
    temperature: float = 1.0,
    language_guidance: float = 1.0,
    history_guidance: float = 1.0,
) -> Tensor:
    """Writes N images.

    Args:
        personalisation: The model that writes.
        prompt: N conditional rows, then any number of unconditional rows, with the reference
            masked away. The rows without the history are the conditional ones behind `no_history`.
        gumbel: Gumbel noise `[N, most codes, top-k]`; its last sizes set the longest image and k.
        temperature: Divides the logits; below 1 is more certain.
        language_guidance: Scale of the guidance on the reference, from unconditional row i modulo
            their number to conditional row i. Without unconditional rows, or at 1, there is none.
        history_guidance: Scale of the guidance on the history. Without `no_history`, or at 1,
            there is none.

    Returns:
        Code rows int64 `[N, most codes]`, `NO_CODE` behind an image that ended early. With a fixed
        patch grid every row is full.
    """
    images, most = gumbel.shape[:2]
    sides = [_Rows(personalisation, prompt, images, most)]
    if prompt.no_history is not None and history_guidance != 1.0:
        sides.append(_Rows(personalisation, prompt.without_history(images), images, most))
    written: list[Tensor] = []
    alive = torch.ones(images, dtype=torch.bool, device=gumbel.device)
    for step in range(most):
        logits = [rows.read() for rows in sides]
        guided = _guided(logits, images, language_guidance, history_guidance) / temperature
        if personalisation.fixed_length or step == 0:
            guided[:, _END] = -math.inf
        column = _sampled(guided, gumbel[:, step])
        alive = alive & (column != _END)
        written.append(torch.where(alive, column - 1, NO_CODE))
        if not alive.any():
            break
        for rows in sides:
            rows.append(personalisation.vocabulary.image_end + column, step)
    codes = torch.stack(written, dim=1)
    return torch.nn.functional.pad(codes, (0, most - codes.shape[1]), value=NO_CODE)


class _Rows:
    """Rows that are read together: what the model has read of them, and what it reads next.

    Args:
        personalisation: The model that reads.
        prompt: What the rows begin with.
        images: Number of conditional rows; the others are unconditional.
        most: Codes of the longest image.
    """

    def __init__(
        self, personalisation: Personalisation, prompt: WritingPrompt, images: int, most: int
    ) -> None:
        self._personalisation = personalisation
        self._prefix, self._aligned = prompt.prefix, prompt.aligned
        self._embeds = personalisation.embed(prompt.instruction, prompt.reference)
        if self._aligned is not None:
            self._embeds[:, -1] += self._aligned[:, 0]
        self._attention, self._positions, self._cache = _begin(personalisation, prompt, most)
        self._both = _both_sides(images, len(self._embeds)).to(self._embeds.device)

    def read(self) -> Tensor:
        """Logits of the next code, float32: `[N, 1 + codes]`, or `[2 N, 1 + codes]` if guided."""
        more = {} if self._prefix is None else {"prefix": self._prefix}
        out = self._personalisation.language_model.model(
            inputs_embeds=self._embeds,
            attention_mask=self._attention.long(),
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
            **more,
        )
        self._cache = out.past_key_values
        logits = self._personalisation.code_logits(out.last_hidden_state[:, -1]).float()
        if len(logits) == len(self._both):
            return logits
        # Unconditional rows differ from the first code on, by the codes written so far.
        self._attention, self._positions = self._attention[self._both], self._positions[self._both]
        self._aligned = None if self._aligned is None else self._aligned[self._both]
        self._cache.batch_select_indices(self._both)
        return logits[self._both]

    def append(self, ids: Tensor, step: int) -> None:
        """Lets all rows read the codes that were written in a step, ids int64 `[N]`, next."""
        ids = ids.repeat(len(self._both) // len(ids))
        self._embeds = self._personalisation.token_embeddings(ids).unsqueeze(1)
        if self._aligned is not None and step + 1 < self._aligned.shape[1]:
            self._embeds = self._embeds + self._aligned[:, step + 1 : step + 2]
        one_more = self._attention.new_ones(len(ids), 1)
        self._attention = torch.cat([self._attention, one_more], dim=1)
        self._positions = self._positions[:, -1:] + 1


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


def _both_sides(conditional: int, rows: int) -> Tensor:
    """Row numbers int64: the conditional rows, then the unconditional row of each of them."""
    itself = torch.arange(conditional)
    if rows == conditional:
        return itself
    return torch.cat([itself, conditional + itself % (rows - conditional)])


def _guided(
    sides: Sequence[Tensor], images: int, language_guidance: float, history_guidance: float
) -> Tensor:
    """Guided log-probabilities `[N, codes]`; without guidance, the logits as they are.

    Args:
        sides: Logits `[N, codes]`, or `[2 N, codes]` with those without the reference; and, for
            guidance on the history, `[N, codes]` of those without it.
        images: N.
        language_guidance: As of `sample_codes`.
        history_guidance: As of `sample_codes`.
    """
    logits, *no_history = sides
    on_reference = len(logits) > images and language_guidance != 1.0
    if not on_reference and not no_history:
        return logits[:images]
    both = logits[:images].log_softmax(-1)
    guided = both
    if on_reference:
        no_reference = logits[images:].log_softmax(-1)
        guided = no_reference + language_guidance * (both - no_reference)
    for without in no_history:
        guided = guided + (history_guidance - 1.0) * (both - without.log_softmax(-1))
    return guided


def _sampled(logits: Tensor, gumbel: Tensor) -> Tensor:
    """One column of each row int64 `[N]`: the best of the top k by logit plus noise `[N, k]`."""
    best, columns = logits.topk(gumbel.shape[1], dim=-1)
    return columns.gather(1, (best + gumbel).argmax(-1, keepdim=True))[:, 0]
