"""Pixels to patch features: the EVA-CLIP ViT-g in front of LaVIT's tokenizer.

transformers has the same network as the vision model of BLIP-2 (arXiv 2301.12597); LaVIT takes the
features before its last normalisation (arXiv 2309.04669, section 3.1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Blip2VisionConfig, Blip2VisionModel

from pigeon_rec.model.configuration import VisualTokenizerConfig

__all__ = ["EvaEncoder"]

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of CLIP's training images, in [0, 1]."""


class EvaEncoder(nn.Module):
    """Replaces `PatchEncoder`, with the published normalisation of pixels."""

    def __init__(self, config: VisualTokenizerConfig) -> None:
        super().__init__()
        sizes = Blip2VisionConfig(
            hidden_size=config.width,
            intermediate_size=int(config.width * config.mlp_ratio),
            num_hidden_layers=config.encoder_layers,
            num_attention_heads=config.heads,
            image_size=config.image_size,
            patch_size=config.patch_size,
        )
        self.vision = Blip2VisionModel(sizes)

    def forward(self, pixels: Tensor) -> Tensor:
        """`pixels [B, 3, H, W]` in [-1, 1] -> features `[B, patches, width]`, no class token."""
        mean, std = (pixels.new_tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
        embedded = self.vision.embeddings(((pixels + 1) / 2 - mean) / std)
        features = self.vision.encoder(inputs_embeds=embedded).last_hidden_state
        return torch.as_tensor(features[:, 1:])
