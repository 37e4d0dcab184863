"""Writing visual tokens: top-k sampling from the language model, with noise given by the caller.

The published inference samples with top-k 50, top-p 1, temperature 1 over 4 beams (paper section
4.1.3). Here each candidate is one sample with noise of its own, so that its codes depend on nothing
else in the batch.

Classifier-free guidance (arXiv 2207.12598) may act on the reference and on the history, each with
its own scale, by the formula for two conditions of arXiv 2211.09800 (section 3.2). With the
log-probabilities of rows that read both, the history without the reference, and neither:

    guided = neither + history_guidance * (history - neither) + language_guidance * (both - history)

At equal scales `history` cancels out, and its rows are not read.
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

    def part(self, rows: slice, prefix: ReadPrefix | None) -> WritingPrompt:
        """Returns some of the rows, behind this prefix."""
        instruction = self.instruction
        parts = (instruction.ids, instruction.gate, instruction.attention)
        aligned = None if self.aligned is None else self.aligned[rows]
        kept = Instruction(*(part[rows] for part in parts))
        return WritingPrompt(kept, self.reference[rows], aligned, prefix)


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
            masked away: none for no guidance, else N or a divisor of N. Conditional row i is guided
            by unconditional row i modulo their number.
        gumbel: Gumbel noise `[N, most codes, top-k]`; its last sizes set the longest image and k.
        temperature: Divides the logits; below 1 is more certain.
        language_guidance: Scale of the guidance on the reference; 1 is none.
        history_guidance: Scale of the guidance on the history; 1 is none, as without `no_history`.

    Returns:
        Code rows int64 `[N, most codes]`, `NO_CODE` behind an image that ended early. With a fixed
        patch grid every row is full.
    """
    images, most = gumbel.shape[:2]
    if prompt.no_history is None or history_guidance == 1.0:
        sides = [_Rows(personalisation, prompt, images, gumbel.shape)]
    else:
        known = slice(images if history_guidance == language_guidance else None)
        neither = prompt.part(slice(images, None), prompt.no_history)
        sides = [
            _Rows(personalisation, prompt.part(known, prompt.prefix), images, gumbel.shape),
            _Rows(personalisation, neither, 0, gumbel.shape),
        ]
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
        conditional: Number of conditional rows, N or 0; the others are unconditional.
        shape: Of the noise: N, most codes, top-k.
    """

    def __init__(
        self,
        personalisation: Personalisation,
        prompt: WritingPrompt,
        conditional: int,
        shape: torch.Size,
    ) -> None:
        images, most = shape[:2]
        self._personalisation = personalisation
        self._prefix, self._aligned = prompt.prefix, prompt.aligned
        self._embeds = personalisation.embed(prompt.instruction, prompt.reference)
        if self._aligned is not None:
            self._embeds[:, -1] += self._aligned[:, 0]
        self._attention, self._positions, self._cache = _begin(personalisation, prompt, most)
        every = _every_row(images, conditional, len(self._embeds))
        self._every = every.to(self._embeds.device)

    def read(self) -> Tensor:
        """Logits of the next code, float32 `[N or 2 N, 1 + codes]`."""
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
        if len(logits) == len(self._every):
            return logits
        # Unconditional rows differ from the first code on, by the codes written so far.
        self._attention, self._positions = (
            self._attention[self._every],
            self._positions[self._every],
        )
        self._aligned = None if self._aligned is None else self._aligned[self._every]
        self._cache.batch_select_indices(self._every)
        return logits[self._every]

    def append(self, ids: Tensor, step: int) -> None:
        """Lets all rows read the codes that were written in a step, ids int64 `[N]`, next."""
        ids = ids.repeat(len(self._every) // len(ids))
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


def _every_row(images: int, conditional: int, rows: int) -> Tensor:
    """Row numbers int64: the conditional rows, then an unconditional row for each image, if any."""
    itself = torch.arange(conditional)
    if rows == conditional:
        return itself
    return torch.cat([itself, conditional + torch.arange(images) % (rows - conditional)])


def _guided(
    sides: Sequence[Tensor], images: int, language_guidance: float, history_guidance: float
) -> Tensor:
    """Guided log-probabilities `[N, codes]`; without guidance, the logits as they are.

    Args:
        sides: Logits `[N, codes]` or `[2 N, codes]`: of rows that read both, the history alone
            unless the scales are equal, and neither for guidance on the history.
        images: N.
        language_guidance: As of `sample_codes`.
        history_guidance: As of `sample_codes`.
    """
    logits = [part for side in sides for part in side.split(images)]
    if len(logits) == 1 or (len(sides) == 1 and language_guidance == 1.0):
        return logits[0]
    # At equal scales the second is `neither`, and the rest of the formula cancels out.
    both, history, *neither = (part.log_softmax(-1) for part in logits)
    guided = history + language_guidance * (both - history)
    for unconditional in neither:
        guided = guided + (history_guidance - 1.0) * (history - unconditional)
    return guided


def _sampled(logits: Tensor, gumbel: Tensor) -> Tensor:
    """One column of each row int64 `[N]`: the best of the top k by logit plus noise `[N, k]`."""
    best, columns = logits.topk(gumbel.shape[1], dim=-1)
    return columns.gather(1, (best + gumbel).argmax(-1, keepdim=True))[:, 0]
