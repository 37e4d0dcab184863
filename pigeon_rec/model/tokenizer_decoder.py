"""Codes to prompt embeddings: LaVIT's tokenizer decoder (arXiv 2309.04669, section 3.1).

Learned queries attend to the codes in blocks of self- and cross-attention. The low-resolution
variant has one prompt projection; the high-resolution one concatenates two and pools a vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.model._attention import (
    CrossAttention,
    FeedForward,
    SelfAttention,
    merge_heads,
    split_heads,
)
from pigeon_rec.model.configuration import DecoderConfig

__all__ = ["DecoderOutput", "TokenizerDecoder"]

_MASKED_KEY = -10000.0
"""Added to the scores of keys without a code; finite, so a row without any code is not NaN."""


@dataclass(frozen=True)
class DecoderOutput:
    """Prompt embeddings, for the image generator and the reference adapter.

    Attributes:
        prompt: `[batch, queries, prompt_width]`.
        pooled: `[batch, last projection]`; None for the low-resolution variant.
        hidden: `[batch, queries, output_width]`, before the prompt projections.
    """

    prompt: Tensor
    pooled: Tensor | None
    hidden: Tensor


class _DecoderBlock(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm0 = nn.LayerNorm(dim)
        self.self_attn = SelfAttention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.cross_attn = CrossAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, hidden)

    def forward(self, x: Tensor, codes: Tensor, key_bias: Tensor) -> Tensor:
        x = x + self.self_attn(self.norm0(x))
        x = x + self.cross_attn(self.norm1(x), codes, key_bias)
        return x + self.mlp(self.norm2(x))


class _AttentionPool(nn.Module):
    """One query, the mean of the tokens, attends to itself and to them (as in CLIP's ResNets)."""

    def __init__(self, tokens: int, dim: int, out: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(tokens + 1, dim) / dim**0.5)
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim)
        self.v_proj = nn.Linear(dim, dim)
        self.c_proj = nn.Linear(dim, out)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + self.positional_embedding
        query = split_heads(self.q_proj(x[:, :1]), self.heads)
        key, value = (split_heads(proj(x), self.heads) for proj in (self.k_proj, self.v_proj))
        return self.c_proj(merge_heads(F.scaled_dot_product_attention(query, key, value)))[:, 0]


class TokenizerDecoder(nn.Module):
    """Code vectors to prompt embeddings."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        width, out = config.width, config.output_width
        self.in_proj = nn.Linear(config.code_dim, width)
        self.pos_embed = nn.Parameter(torch.randn(1, config.queries, width) * 0.02)
        self.query_embed = nn.Parameter(torch.randn(1, config.queries, width) * 0.02)
        hidden = int(width * config.mlp_ratio)
        self.blocks = nn.ModuleList(
            _DecoderBlock(width, config.heads, hidden) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.decode_task_layer = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, out)
        )
        self.projections = nn.ModuleList(nn.Linear(out, p) for p in config.projections)
        last = config.projections[-1]
        self.attnpool = (
            _AttentionPool(config.queries, out, last, config.heads) if config.pooled else None
        )
        patch = config.preview_patch
        self.preview_head = nn.Linear(out, 3 * patch * patch) if patch else None

    @torch.no_grad()
    def align_queries(self) -> None:
        """Initialises query i to attend to code i, for codes that keep the patch grid.

        Queries and code positions share nearly orthogonal rows, and the key projection starts equal
        to the query projection, so equal positions score highest.
        """
        self.pos_embed.normal_()
        self.query_embed.copy_(self.pos_embed)
        nn.init.normal_(self.in_proj.weight)
        for attention in self.modules():
            if isinstance(attention, CrossAttention):
                attention.query.weight.mul_(2.0)
                attention.key.weight.copy_(attention.query.weight)

    def forward(self, codes: Tensor, present: Tensor) -> DecoderOutput:
        """Decodes code vectors.

        Args:
            codes: `[B, N, code_dim]`, N at most `queries`.
            present: bool `[B, N]`; False at places without a code (padding or masked), which still
                take up their position.
        """
        # A place without a code is its position alone; an image without codes attends to these.
        memory = self.in_proj(codes) * present.unsqueeze(-1) + self.pos_embed[:, : codes.shape[1]]
        key_bias = torch.where(present, 0.0, _MASKED_KEY)  # [B, N]
        x = self.query_embed.expand(codes.shape[0], -1, -1)
        for block in self.blocks:
            x = block(x, memory, key_bias)
        hidden = self.decode_task_layer(self.norm(x))
        prompt = torch.cat([project(hidden) for project in self.projections], dim=-1)
        return DecoderOutput(prompt, self.attnpool(hidden) if self.attnpool else None, hidden)

    def preview(self, output: DecoderOutput) -> Tensor:
        """Pixels `[B, 3, H, W]` in about [-1, 1] by the linear head, without diffusion.

        Raises:
            ValueError: The decoder has no preview head.
        """
        if self.preview_head is None:
            raise ValueError("this decoder has no preview head (preview_patch is 0)")
        patch, grid = self.config.preview_patch, round(self.config.queries**0.5)
        flat = self.preview_head(output.hidden).unflatten(1, (grid, grid))
        flat = flat.unflatten(-1, (3, patch, patch))  # [B, row, column, 3, y, x]
        return flat.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
