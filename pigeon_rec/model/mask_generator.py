"""Pigeon's mask generation module: which tokens are relevant (paper section 3.2).

Tokens are scored by the cosine of their embedding before and after one transformer layer; a
Gumbel top-k keeps the relevant ones. Keep decisions are straight-through, so that the module
learns from the language model's loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.model.configuration import MaskGeneratorConfig

__all__ = [
    "HISTORY",
    "PADDING",
    "TARGET",
    "MaskGenerator",
    "MaskScores",
    "gumbel_top_k",
    "keep_counts",
]

PADDING, HISTORY, TARGET = 0, 1, 2
"""Token types."""


@dataclass(frozen=True)
class MaskScores:
    """Relevance of every token; all `[B, N]`, zero at padding.

    Attributes:
        cosine: Similarity of a token's embedding before and after the module, -1 to 1.
        history: Softmax of `cosine` over the sample's history tokens.
        target: Softmax of `cosine` over the sample's target tokens.
    """

    cosine: Tensor
    history: Tensor
    target: Tensor


def keep_counts(lengths: Tensor, ratio: float) -> Tensor:
    """`max(1, int(n * (1 - ratio)))` in doubles, for int64 lengths `[B]`; 0 where n is 0."""
    kept = (lengths.double() * (1 - ratio)).long().clamp(min=1)
    return torch.minimum(kept, lengths)


def gumbel_top_k(weights: Tensor, valid: Tensor, ratio: float, gumbel: Tensor) -> Tensor:
    """Keeps the best tokens of every row, by sampling without replacement.

    The k largest of log-weight + Gumbel noise are k draws without replacement (Gumbel top-k, arXiv
    1903.06059); the gradient is that of their softmax (straight-through, arXiv 1308.3432).

    Args:
        weights: Positive `[B, N]`; need not sum to one.
        valid: bool `[B, N]`, the tokens to choose from.
        ratio: Share to drop, 0 to 1; at least one valid token is kept.
        gumbel: Gumbel(0, 1) noise `[B, N]`.

    Returns:
        `[B, N]`: 1 for kept, 0 for dropped or invalid, with the gradient of the softmax of the
        noisy scores (straight-through).
    """
    scores = (weights.clamp(min=1e-20).log() + gumbel).masked_fill(~valid, -math.inf)
    rank = scores.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    hard = (rank < keep_counts(valid.sum(1), ratio).unsqueeze(1)) & valid
    soft = torch.nan_to_num(scores.softmax(-1))  # a row without valid tokens has no gradient
    return hard.to(soft.dtype) - soft.detach() + soft


def sinusoid_table(positions: int, dim: int) -> Tensor:
    """Sinusoidal positions, float32 `[positions, dim]` (arXiv 1706.03762, section 3.5).

    `P[p, 2i] = sin(p w_i)`, `P[p, 2i + 1] = cos(p w_i)`, `w_i = 10000^(-2i / dim)`.
    """
    place = torch.arange(positions, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    table = torch.zeros(positions, dim)
    table[:, 0::2] = torch.sin(place * rate)
    table[:, 1::2] = torch.cos(place * rate)
    return table


class MaskGenerator(nn.Module):
    """Scores tokens; `keep_history` and `keep_target` draw the masks.

    Args:
        dim: Width of the language model's embeddings.
    """

    def __init__(self, dim: int, config: MaskGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("positions", sinusoid_table(config.max_position + 1, dim))
        self.type_embedding = nn.Embedding(3, dim)
        self.LayerNorm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            dim, config.heads, config.feedforward, dropout=config.dropout / 2, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.dense = nn.Linear(dim, dim)

    positions: Tensor

    def forward(self, embeds: Tensor, position_ids: Tensor, type_ids: Tensor) -> MaskScores:
        """Scores tokens: the cosine of each before and after, and its softmax per type.

        Args:
            embeds: `[B, N, D]` from the language model's table.
            position_ids: int64 `[B, N]`, 1-based within each image, 0 at padding.
            type_ids: int64 `[B, N]`, `PADDING`, `HISTORY` or `TARGET`.
        """
        padding = type_ids == PADDING
        x = self.encode(self.place(embeds, position_ids, type_ids), padding)
        cosine = F.cosine_similarity(embeds.float(), x.float(), dim=-1).masked_fill(padding, 0.0)
        return MaskScores(
            cosine,
            _softmax_over(cosine, type_ids == HISTORY),
            _softmax_over(cosine, type_ids == TARGET),
        )

    def place(self, embeds: Tensor, position_ids: Tensor, type_ids: Tensor) -> Tensor:
        """Adds position and type, `[B, N, D]`; arguments as of `forward`."""
        x = embeds + self.positions[position_ids] + self.type_embedding(type_ids)
        return torch.as_tensor(self.dropout(self.LayerNorm(x)))

    def encode(self, placed: Tensor, padding: Tensor) -> Tensor:
        """Runs the transformer layer on placed embeddings `[B, N, D]`; True in `padding [B, N]`."""
        x = self.LayerNorm(self.encoder(placed, src_key_padding_mask=padding))
        return torch.as_tensor(self.dropout(torch.tanh(self.dense(x))))

    def keep_history(
        self, scores: MaskScores, type_ids: Tensor, ratio: float, gumbel: Tensor
    ) -> Tensor:
        """Keeps the most relevant history tokens: 0/1 `[B, N]`; arguments as of `keep_target`."""
        return gumbel_top_k(scores.history, type_ids == HISTORY, ratio, gumbel)

    def keep_target(
        self,
        scores: MaskScores,
        type_ids: Tensor,
        ratio: float,
        gumbel: Tensor,
        *,
        rebuild: bool | None = None,
    ) -> Tensor:
        """Keeps target tokens: 0/1 `[B, N]`, straight-through.

        Args:
            scores: From `forward`.
            type_ids: int64 `[B, N]`.
            ratio: Share of target tokens to drop, 0 to 1.
            gumbel: Gumbel(0, 1) noise `[B, N]`.
            rebuild: Whether to drop the relevant target tokens, so that the model must rebuild them
                from the history, instead of keeping them; by default in training. The published
                weights 1 - p for it are nearly flat; ours are the softmax of the negated cosine.
        """
        valid = type_ids == TARGET
        weights = scores.target
        if self.training if rebuild is None else rebuild:
            published = self.config.published
            weights = 1 - scores.target if published else _softmax_over(-scores.cosine, valid)
        return gumbel_top_k(weights, valid, ratio, gumbel)

    def decisions(self, keep: Tensor) -> Tensor:
        """Rounds keep values `[B, N]` and drops their gradient, if published."""
        return keep.round().detach() if self.config.published else keep


def _softmax_over(values: Tensor, valid: Tensor) -> Tensor:
    """Softmax over the valid places of each row, 0 elsewhere."""
    return torch.nan_to_num(values.masked_fill(~valid, -math.inf).softmax(-1))
