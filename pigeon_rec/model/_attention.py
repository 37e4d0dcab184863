"""Multi-head attention and MLP, shared by tokenizer and decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CrossAttention", "FeedForward", "SelfAttention", "merge_heads", "split_heads"]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[batch, tokens, dim] -> [batch, heads, tokens, dim / heads]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[batch, heads, tokens, dim / heads] -> [batch, tokens, dim]."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention of every token to every token."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, N, D]` -> `[B, N, D]`."""
        query, key, value = (split_heads(t, self.heads) for t in self.qkv(x).chunk(3, dim=-1))
        return self.proj(merge_heads(F.scaled_dot_product_attention(query, key, value)))


class CrossAttention(nn.Module):
    """Attention of queries to a second sequence, with an additive mask on its keys."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor, key_bias: Tensor | None = None) -> Tensor:
        """Queries `x [B, Q, D]`, keys and values `context [B, N, D]` -> `[B, Q, D]`.

        `key_bias [B, N]` is added to every query's scores.
        """
        query = split_heads(self.query(x), self.heads)
        key = split_heads(self.key(context), self.heads)
        value = split_heads(self.value(context), self.heads)
        bias = None if key_bias is None else key_bias[:, None, None, :].to(query.dtype)
        return self.proj(
            merge_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=bias))
        )


class FeedForward(nn.Module):
    """Linear, GELU (erf), linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., D]` -> `[..., D]`."""
        return torch.as_tensor(self.fc2(F.gelu(self.fc1(x))))
