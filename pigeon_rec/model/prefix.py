"""Keys and values of a shared prefix, computed once and continued many times.

Keys and values of history and target text serve all mask ratios and both sides of guidance, since
attention is causal, and are not copied for them. All continuations of a prefix attend to it in one
matrix product, and to their own tokens in another; the two are combined by the sums of their
exponentials, as in blockwise attention (arXiv 1805.02867, section 3.1; for shared prefixes arXiv
2402.05099).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, Cache, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from pigeon_rec.model.merging import Instruction
from pigeon_rec.model.personalisation import Personalisation

__all__ = ["ReadPrefix", "attend_behind_prefix", "read_on", "read_prefix"]

_ATTENTION: Final = "pigeon_behind_prefix"
"""Name under which our attention is registered with transformers."""


@dataclass(frozen=True)
class ReadPrefix:
    """The beginnings of B instructions.

    Attributes:
        layers: Keys and values `[B, heads, L, head width]` of every layer; read only.
        attention: bool `[B, L]`, False at padding.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    attention: Tensor

    def copies(self, rows: int) -> int:
        """Returns how many of `rows` continue each beginning."""
        return rows // len(self.attention)


@torch.inference_mode()
def read_prefix(personalisation: Personalisation, instruction: Instruction) -> ReadPrefix:
    """Computes keys and values of instructions' beginnings `[B, L]`, without references."""
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


def read_on(personalisation: Personalisation, tokens: int) -> Cache:
    """Returns an empty cache for `tokens` tokens after a prefix."""
    model = personalisation.language_model
    model.set_attn_implementation(_ATTENTION)
    cache = DynamicCache()
    cache.layers = [_PreallocatedLayer(tokens) for _ in range(model.config.num_hidden_layers)]
    return cache


def attend_behind_prefix(  # noqa: PLR0913 - the signature transformers calls
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    prefix: ReadPrefix | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """Attention with transformers' interface; without a prefix it is the library's own.

    Args:
        module: The attention layer, with its index.
        query: `[copies * B, heads, T, width]`, all B rows, then all rows again, and so on.
        key: Own keys so far, `[copies * B, heads, M, width]`.
        value: As `key`.
        attention_mask: Bool `[copies * B, 1, T, M]`, True where a query may attend, or None.
        scaling: Factor of the products.
        prefix: Prefix of the B rows, to which every query attends.
        rest: Passed to the library.

    Returns:
        `[copies * B, T, heads, width]`, and None for the attention weights.
    """
    if prefix is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **rest
        )
        return plain
    rows, heads, tokens, width = query.shape
    copies, requests = prefix.copies(rows), len(prefix.attention)
    keys, values = prefix.layers[int(module.layer_idx)]  # type: ignore[arg-type]
    # All continuations of a beginning as one long row of queries.
    folded = query.view(copies, requests, heads, tokens, width).permute(1, 2, 0, 3, 4)
    past = folded.reshape(requests, heads, copies * tokens, width) @ keys.transpose(2, 3)
    past = past.mul_(scaling).masked_fill_(~prefix.attention[:, None, None], -math.inf)
    weight_of_past, seen_of_past = _softmax(past, values)
    own = (query @ key.transpose(2, 3)).mul_(scaling)
    # Finite, so that a query at padding, which attends to no own token, is not NaN.
    own = own.masked_fill_(~_visible(attention_mask, own), torch.finfo(own.dtype).min)
    weight_of_own, seen_of_own = _softmax(own, value)

    def unfolded(folded: Tensor) -> Tensor:
        apart = folded.view(requests, heads, copies, tokens, -1).permute(2, 0, 1, 3, 4)
        return apart.reshape(rows, heads, tokens, -1)

    share = torch.sigmoid(unfolded(weight_of_past) - weight_of_own).to(query.dtype)
    seen = torch.lerp(seen_of_own, unfolded(seen_of_past), share)
    return seen.transpose(1, 2).contiguous(), None


def _softmax(scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the sum of exponentials `[.., T, 1]`, and the weighted mean of the values."""
    whole = scores.float().logsumexp(-1, keepdim=True)
    return whole, (scores.float() - whole).exp_().to(values.dtype) @ values


def _visible(attention_mask: Tensor | None, scores: Tensor) -> Tensor:
    """Own tokens a query may attend to: those of the mask, or itself and all before it."""
    if attention_mask is not None:
        return attention_mask
    tokens, length = scores.shape[-2:]
    causal = torch.ones(tokens, length, dtype=torch.bool, device=scores.device)
    return causal.tril(length - tokens)


class _PreallocatedLayer(DynamicLayer):
    """Preallocated keys and values; the library's own layer copies them for every new token."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room: int = room
        self._tokens: int = 0
        self._stored: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Adds tokens `[batch, heads, new, width]`; returns those of all tokens so far."""
        if self._stored is None:
            self.lazy_initialization(key_states, value_states)
            shape = (2, *key_states.shape[:2], self._room, key_states.shape[3])
            self._stored = key_states.new_empty(shape)
        before, self._tokens = self._tokens, self._tokens + key_states.shape[2]
        self._stored[0, :, :, before : self._tokens] = key_states
        self._stored[1, :, :, before : self._tokens] = value_states
        self.keys, self.values = self._stored[:, :, :, : self._tokens]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Replaces the rows by these, int64; a row may repeat."""
        if self._stored is not None:
            self._stored = self._stored[:, indices]
            self.keys, self.values = self._stored[:, :, :, : self._tokens]


AttentionInterface.register(_ATTENTION, attend_behind_prefix)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
