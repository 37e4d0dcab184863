"""Image to code ids: LaVIT's dynamic visual tokenizer (arXiv 2309.04669, section 3.1).

Patch features from a ViT -> token predictor (keep or drop) -> token merger (dropped patches fold
into kept ones) -> projection -> nearest row of a codebook. At inference keep decisions are
deterministic, so the same image always has the same codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pigeon_rec.model._attention import FeedForward, SelfAttention, merge_heads, split_heads
from pigeon_rec.model.configuration import VisualTokenizerConfig

__all__ = [
    "NO_CODE",
    "PatchEncoder",
    "TokenMerger",
    "TokenPredictor",
    "VectorQuantizer",
    "VisualCodes",
    "VisualTokenizer",
]

NO_CODE = -100
"""Padding after the last code of an image."""

_SMOOTHING = 1e-6
"""Added evenly to all keys, so that a row without any allowed key is uniform, not NaN."""


@dataclass(frozen=True)
class VisualCodes:
    """Codes of a batch of images.

    Attributes:
        ids: int64 `[batch, tokens]`, codebook rows in patch order, padded with `NO_CODE`.
        vectors: `[batch, tokens, code_dim]`, the rows themselves (straight-through in training).
        raw: `[batch, tokens, code_dim]`, unit vectors before quantisation.
    """

    ids: Tensor
    vectors: Tensor
    raw: Tensor


class _EncoderLayer(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEncoder(nn.Module):
    """A small pre-norm ViT without class token; the published model uses EVA's ViT-g instead."""

    def __init__(self, config: VisualTokenizerConfig) -> None:
        super().__init__()
        size, width = config.patch_size, config.width
        self.patch_embed = nn.Conv2d(3, width, kernel_size=size, stride=size)
        self.pos_embed = nn.Parameter(torch.randn(1, config.patches, width) * 0.02)
        hidden = int(width * config.mlp_ratio)
        self.layers = nn.ModuleList(
            _EncoderLayer(width, config.heads, hidden) for _ in range(config.encoder_layers)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """`pixels [B, 3, H, W]` in [-1, 1] -> features `[B, patches, width]`."""
        x = self.patch_embed(pixels).flatten(2).transpose(1, 2) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        return x


class TokenPredictor(nn.Module):
    """Log-probabilities of keeping (channel 0) and dropping (channel 1) each patch.

    Half of the channels are local, half the mean over the image (as arXiv 2106.02034, section 3.2).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())
        self.out_conv = nn.Sequential(
            nn.Linear(dim, dim // 2),
            nn.GELU(),
            nn.Linear(dim // 2, dim // 4),
            nn.GELU(),
            nn.Linear(dim // 4, 2),
        )

    def forward(self, x: Tensor, policy: Tensor) -> Tensor:
        """`x [B, P, C]`, `policy [B, P, 1]` weights of the global half -> `[B, P, 2]`."""
        local, context = self.in_conv(x).chunk(2, dim=-1)
        context = (context * policy).sum(1, keepdim=True) / policy.sum(1, keepdim=True)
        logits = self.out_conv(torch.cat([local, context.expand_as(local)], dim=-1))
        return F.log_softmax(logits, dim=-1)


def _policy_softmax(scores: Tensor, policy: Tensor) -> Tensor:
    """Softmax over the keys a 0/1 policy allows; differentiable in the policy.

    The row maximum is taken over all keys, allowed or not, as in the published code.
    """
    keys = scores.shape[-1]
    weights = (scores - scores.amax(-1, keepdim=True)).exp() * policy
    return (weights + _SMOOTHING / keys) / (weights.sum(-1, keepdim=True) + _SMOOTHING)


class _CausalPolicyAttention(nn.Module):
    """Causal self-attention among kept tokens; a dropped token sees itself besides them."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, decisions: Tensor) -> Tensor:
        tokens = x.shape[1]
        query, key, value = (split_heads(t, self.heads) for t in self.qkv(x).chunk(3, dim=-1))
        scores = (query @ key.mT).float() * query.shape[-1] ** -0.5  # [B, heads, P, P]
        eye = torch.eye(tokens, device=x.device, dtype=decisions.dtype)
        policy = decisions[:, None, None, :] * (1 - eye) + eye
        policy = policy * torch.ones_like(eye).tril()
        return self.proj(merge_heads(_policy_softmax(scores, policy).to(value.dtype) @ value))


class _DroppedTokenAttention(nn.Module):
    """Cross-attention from every token to the dropped ones."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, original: Tensor, decisions: Tensor) -> Tensor:
        query = split_heads(self.query(x), self.heads)
        key = split_heads(self.key(original), self.heads)
        value = split_heads(self.value(original), self.heads)
        scores = (query @ key.mT).float() * query.shape[-1] ** -0.5
        dropped = (1 - decisions)[:, None, None, :]
        return self.proj(merge_heads(_policy_softmax(scores, dropped).to(value.dtype) @ value))


class _MergerBlock(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm0 = nn.LayerNorm(dim)
        self.token_causal_attn = _CausalPolicyAttention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.token_cross_attn = _DroppedTokenAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, hidden)

    def forward(self, x: Tensor, original: Tensor, decisions: Tensor) -> Tensor:
        x = x + self.token_causal_attn(self.norm0(x), decisions)
        x = x + self.token_cross_attn(self.norm1(x), original, decisions)
        return x + self.mlp(self.norm2(x))


class TokenMerger(nn.Module):
    """Merges the information of dropped patches into the kept ones.

    Args:
        published: The residual stream starts at the unnormalised features; otherwise at the
            normalised ones, to which the cross-attention attends in both cases.
    """

    def __init__(
        self, dim: int, heads: int, layers: int, hidden: int, published: bool = False
    ) -> None:
        super().__init__()
        self.published = published
        self.ln_vision = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(_MergerBlock(dim, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, decisions: Tensor) -> Tensor:
        """`x [B, P, C]`, `decisions [B, P]` (1 keep, 0 drop) -> `[B, P, C]`, all places filled."""
        original = self.ln_vision(x)
        x = x if self.published else original
        for block in self.blocks:
            x = block(x, original, decisions)
        return torch.as_tensor(self.norm(x))


class VectorQuantizer(nn.Module):
    """Nearest codebook row.

    Args:
        published: Compare unit vectors with the rows as stored; otherwise rows are normalised
            first, so that the nearest is the nearest by cosine. Equal for unit rows.
    """

    def __init__(self, codebook_size: int, code_dim: int, published: bool = False) -> None:
        super().__init__()
        self.published = published
        self.embedding = nn.Embedding(codebook_size, code_dim)
        nn.init.normal_(self.embedding.weight)
        self.embedding.weight.data = F.normalize(self.embedding.weight.data, dim=-1)

    def nearest(self, unit: Tensor) -> Tensor:
        """Unit vectors `[..., code_dim]` -> int64 ids; the first of equally near rows."""
        rows = self.embedding.weight.float()
        rows = rows if self.published else F.normalize(rows, dim=-1)
        flat = unit.float().flatten(0, -2)
        # [tokens, codebook] distances
        distance = flat.pow(2).sum(-1, keepdim=True) + rows.pow(2).sum(-1) - 2 * flat @ rows.T
        return distance.argmin(-1).view(unit.shape[:-1])

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`z [..., code_dim]` -> ids `[...]`, rows and unit z, both `[..., code_dim]`.

        The gradient of the rows goes to z as if nothing had been quantised (arXiv 1711.00937,
        section 3.2).
        """
        with torch.autocast(z.device.type, enabled=False):
            unit = F.normalize(z.float(), dim=-1)
            ids = self.nearest(unit)
            rows = self.embedding(ids)
            return ids, unit + (rows - unit).detach(), unit


class VisualTokenizer(nn.Module):
    """Images to variable-length lists of code ids."""

    def __init__(self, config: VisualTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        hidden = int(config.width * config.mlp_ratio)
        self.encoder = PatchEncoder(config)
        self.token_predictor = TokenPredictor(config.width) if config.keep == "dynamic" else None
        self.causal_encoder = TokenMerger(
            config.width, config.heads, config.merger_layers, hidden, config.published
        )
        self.encode_task_layer = nn.Sequential(
            nn.Linear(config.width, config.width),
            nn.Tanh(),
            nn.Linear(config.width, config.code_dim),
        )
        self.quantize = VectorQuantizer(config.codebook_size, config.code_dim, config.published)

    def decide(self, features: Tensor, gumbel: Tensor | None = None) -> Tensor:
        """Keep decisions `[B, P]` (1 keep), straight-through in training.

        Args:
            features: `[B, P, C]`.
            gumbel: Gumbel(0, 1) noise `[B, P, 2]` for a sampled decision (Gumbel-softmax, arXiv
                1611.01144, equation 2); None takes the likelier decision.
        """
        if self.token_predictor is None:
            return features.new_ones(features.shape[:2])
        log_probs = self.token_predictor(features, features.new_ones(*features.shape[:2], 1))
        scores = log_probs if gumbel is None else log_probs + gumbel
        soft = scores.softmax(-1)[..., 0]
        margin = scores[..., 0] - scores[..., 1]
        # An image must keep a token: the likeliest is kept even if the predictor drops all.
        hard = (margin > 0).to(soft.dtype).scatter(1, margin.argmax(1, keepdim=True), 1.0)
        return hard - soft.detach() + soft

    def forward(self, features: Tensor, decisions: Tensor) -> VisualCodes:
        """Patch features `[B, P, C]` and keep decisions `[B, P]` -> codes of the kept patches."""
        merged = self.encode_task_layer(self.causal_encoder(features, decisions))
        ids, vectors, raw = self.quantize(merged)
        if self.token_predictor is None:
            return VisualCodes(ids, vectors, raw)
        return _compact(VisualCodes(ids, vectors, raw), decisions)

    def encode(self, pixels: Tensor) -> VisualCodes:
        """Pixels `[B, 3, H, W]` in [-1, 1] -> codes, deterministic."""
        features = self.encoder(pixels)
        return self(features, self.decide(features))


def _compact(codes: VisualCodes, decisions: Tensor) -> VisualCodes:
    """Moves the kept codes of each row to the front, in patch order, and cuts the rest."""
    kept = decisions > 0.5
    order = (~kept).long().argsort(dim=1, stable=True)[:, : int(kept.sum(1).max())]
    alive = kept.gather(1, order)
    gate = decisions.gather(1, order).unsqueeze(-1)
    wide = order.unsqueeze(-1).expand(-1, -1, codes.vectors.shape[-1])
    return VisualCodes(
        ids=codes.ids.gather(1, order).masked_fill(~alive, NO_CODE),
        vectors=codes.vectors.gather(1, wide) * gate,
        raw=codes.raw.gather(1, wide) * alive.unsqueeze(-1),
    )
