"""What the language model has read already, computed once and read on from several times.

Keys and values of a user's history serve every request, mask ratio and side of guidance: in a
causal model nothing that follows changes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from pigeon_rec.model.merging import Instruction
from pigeon_rec.model.personalisation import Personalisation

__all__ = ["ReadPrefix", "read_prefix"]


@dataclass(frozen=True)
class ReadPrefix:
    """The beginning of B instructions.

    Attributes:
        layers: Keys and values `[B, heads, L, head width]` of every layer; never written to.
        attention: bool `[B, L]`, False at padding.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    attention: Tensor

    def fork(self, copies: int, tokens: int) -> DynamicCache:
        """A cache to read on from: all rows, `copies` times, with room for `tokens` more."""
        room = self.attention.shape[1] + tokens
        fork = DynamicCache()
        fork.layers = [_RoomyLayer(*layer, copies, room) for layer in self.layers]
        return fork


@torch.inference_mode()
def read_prefix(personalisation: Personalisation, instruction: Instruction) -> ReadPrefix:
    """Reads the beginning of instructions, `[B, L]`, which holds no reference."""
    nothing = instruction.gate.new_zeros(0)
    out = personalisation.language_model.model(
        inputs_embeds=personalisation.embed(instruction, nothing),
        attention_mask=instruction.attention.long(),
        position_ids=instruction.positions,
        past_key_values=DynamicCache(),
        use_cache=True,
    )
    layers = tuple((layer.keys, layer.values) for layer in out.past_key_values.layers)
    return ReadPrefix(layers, instruction.attention)


class _RoomyLayer(DynamicLayer):
    """Keys and values with room for what is to come.

    The library's own layer copies all of them for every new token.
    """

    def __init__(self, keys: Tensor, values: Tensor, copies: int, room: int) -> None:
        super().__init__()
        keys, values = keys.repeat(copies, 1, 1, 1), values.repeat(copies, 1, 1, 1)
        self.lazy_initialization(keys, values)
        self._length = 0
        self._stored = keys.new_empty(2, *keys.shape[:2], room, keys.shape[-1])
        self.update(keys, values)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Adds tokens `[batch, heads, new, width]`; returns those of all tokens so far."""
        before, self._length = self._length, self._length + key_states.shape[2]
        self._stored[0, :, :, before : self._length] = key_states
        self._stored[1, :, :, before : self._length] = value_states
        self.keys, self.values = self._stored[:, :, :, : self._length]
        return self.keys, self.values
