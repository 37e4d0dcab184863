"""EVA's ViT from the published keys, against its formula written out by hand."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.published.pipeline import PublishedPipeline
from tests.model.published.layout import EVA_LAYERS, HEADS, IMAGE, PATCH, WIDTH
from tests.model.tiny import pictures


def normalised(images: Tensor) -> Tensor:
    """uint8 `[B, H, W, 3]` as CLIP's own preparation gives them, `[B, 3, H, W]`."""
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def features(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """All tokens after the last block, `[B, 1 + P, W]` (pre-norm, no final norm)."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    projection = (weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"])
    x = F.conv2d(pixels, *projection, stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat([weights["cls_token"].expand(len(x), -1, -1), x], 1) + weights["pos_embed"]
    for i in range(EVA_LAYERS):
        name = f"blocks.{i}"
        query, value = weights[f"{name}.attn.q_bias"], weights[f"{name}.attn.v_bias"]
        bias = torch.cat([query, torch.zeros(WIDTH), value])
        mixed = F.linear(norm(x, f"{name}.norm1"), weights[f"{name}.attn.qkv.weight"], bias)
        q, k, v = mixed.view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + linear(mixed, f"{name}.attn.proj")
        hidden = F.gelu(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1"))
        x = x + linear(hidden, f"{name}.mlp.fc2")
    return x


@torch.no_grad()
def test_features_are_those_of_the_published_formula(
    published: PublishedPipeline, layout: Path
) -> None:
    weights = torch.load(layout / "visual_tokenizer" / "eva_vitg_psz14.bin", weights_only=True)
    images = pictures(3, side=IMAGE)
    wanted = features(weights, normalised(torch.from_numpy(images)))[:, 1:]
    found = published.tokenizer.encoder(to_pixels(images))
    assert found.shape == (3, (IMAGE // PATCH) ** 2, WIDTH)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert wanted.std() > 0.1
