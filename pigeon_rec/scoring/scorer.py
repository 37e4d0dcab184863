"""The scorer: a small CLIP-like encoder of images and texts.

It chooses candidates, feeds the quality gate and embeds items for retrieval. An image has a concept
part, which shares a space with texts and is trained on captions with CLIP's symmetric contrastive
loss (arXiv 2103.00020, section 2.3), and, if configured, a style part (`pigeon_rec.scoring.style`).
Both are trained by `pigeon_rec.training.scorer`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pigeon_rec.errors import ModelError
from pigeon_rec.model.arrays import fixed_batches, to_pixels
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.runtime.settings import Count, Fraction, Positive, Settings
from pigeon_rec.scoring.style import StyleHead

__all__ = ["ImageTextEncoder", "Scorer", "ScorerConfig", "load_scorer"]

_BATCH = 64
"""Rows per forward pass."""

_STEM_LAYERS = 5
"""Layers of the stem per halving."""


class ScorerConfig(Settings):
    """Sizes of the scorer.

    Attributes:
        stem: Channels of the stride-2 convolutions before the image tower, one per halving of
            `patch`; they learn styles (edges and fills) from far fewer images than the linear
            patch embedding that an empty stem means.
        embedding: Length of a text embedding, and of the concept part of an image embedding.
        style_embedding: Length of the style part of an image embedding; 0 is a scorer without one.
            It is computed from the outputs of the stem, which must not be empty then.
        style_width: Hidden width of the style part.
        style_weight: Share of the style part in the likeness of two images.
    """

    image_size: Positive = 64
    patch: Positive = 8
    stem: tuple[Positive, ...] = ()
    width: Positive = 192
    layers: Positive = 4
    heads: Positive = 6
    text_vocabulary: Positive = 2048
    text_length: Positive = 32
    text_layers: Positive = 2
    embedding: Positive = 128
    style_embedding: Count = 0
    style_width: Positive = 512
    style_weight: Fraction = 0.5

    @property
    def image_embedding(self) -> int:
        """Length of an image embedding."""
        return self.embedding + self.style_embedding

    @model_validator(mode="after")
    def _divides(self) -> ScorerConfig:
        if self.image_size % self.patch or self.width % self.heads:
            raise ValueError(
                f"patch {self.patch} must divide image_size {self.image_size}, "
                f"and heads {self.heads} must divide width {self.width}"
            )
        if self.stem and 2 ** len(self.stem) != self.patch:
            raise ValueError(
                f"stem {self.stem} halves the image {len(self.stem)} times, which does not give "
                f"patch {self.patch}"
            )
        if self.style_embedding and not self.stem:
            raise ValueError("`style_embedding` needs a `stem`, whose outputs tell the style")
        return self


class ImageTextEncoder(nn.Module):
    """Image tower, text tower and, if configured, a style head; all outputs have unit length."""

    def __init__(self, config: ScorerConfig) -> None:
        super().__init__()
        self.config = config
        width, patches = config.width, (config.image_size // config.patch) ** 2
        self.patch_embed = _patches(config)
        self.image_position = nn.Parameter(torch.randn(1, patches, width) * 0.02)
        self.image_layers = _tower(config, config.layers)
        self.image_head = nn.Linear(width, config.embedding, bias=False)
        self.word_embed = nn.Embedding(config.text_vocabulary, width)
        self.text_position = nn.Parameter(torch.randn(1, config.text_length, width) * 0.02)
        self.text_layers = _tower(config, config.text_layers)
        self.text_head = nn.Linear(width, config.embedding, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(2.66))  # ln(1 / 0.07), CLIP's start
        self.style_head = (
            StyleHead(config.stem, config.style_width, config.style_embedding)
            if config.style_embedding
            else None
        )

    def image(self, pixels: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1] -> `[B, image_embedding]`, concept part first.

        The parts are scaled so that the cosine of two images is `(1 - style_weight)` times the
        cosine of their concept parts plus `style_weight` times that of their style parts.
        """
        if self.style_head is None:
            return self.concept(pixels)
        weight, maps = self.config.style_weight, self._stem_maps(pixels)
        *_, to_patches = self.patch_embed.children()
        concept, style = self._concept(to_patches(maps[-1])), self.style_head(maps)
        return torch.cat([(1.0 - weight) ** 0.5 * concept, weight**0.5 * style], dim=-1)

    def concept(self, pixels: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1] -> concept parts `[B, embedding]` of unit length."""
        return self._concept(self.patch_embed(pixels))

    def style(self, pixels: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1] -> style parts `[B, style_embedding]` of unit length.

        The stem gets no gradient: the concept part trains it.

        Raises:
            ModelError: The scorer has no style part.
        """
        if self.style_head is None:
            raise ModelError(
                "the scorer has no style part", remedy="Train one with `style_embedding` set"
            )
        with torch.no_grad():
            maps = self._stem_maps(pixels)
        return self.style_head(maps)

    def _concept(self, patches: Tensor) -> Tensor:
        """Concept parts of patches `[B, width, rows, columns]`."""
        x = patches.flatten(2).transpose(1, 2) + self.image_position
        return F.normalize(self.image_head(self.image_layers(x).mean(1)).float(), dim=-1)

    def _stem_maps(self, pixels: Tensor) -> list[Tensor]:
        """Outputs of the stem, `[B, channels, H / 2, W / 2]` and so on, one per halving."""
        maps, x = [], pixels
        *stem, _ = self.patch_embed.children()
        for place, layer in enumerate(stem, start=1):
            x = layer(x)
            if place % _STEM_LAYERS == 0:
                maps.append(x)
        return maps

    def text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids int64 `[B, L]`, bool mask -> `[B, embedding]`; an empty text is one padding id."""
        mask = mask | (torch.arange(mask.shape[1], device=mask.device) == 0)
        x = self.word_embed(ids) + self.text_position[:, : ids.shape[1]]
        x = self.text_layers(x, src_key_padding_mask=~mask) * mask.unsqueeze(-1)
        mean = x.sum(1) / mask.sum(1, keepdim=True)
        return F.normalize(self.text_head(mean).float(), dim=-1)


def _patches(config: ScorerConfig) -> nn.Module:
    """Pixels `[B, 3, H, W]` to patches `[B, width, rows, columns]`."""
    if not config.stem:
        return nn.Conv2d(3, config.width, config.patch, config.patch)
    layers: list[nn.Module] = []
    for before, after in zip((3, *config.stem[:-1]), config.stem, strict=True):
        layers += [
            nn.Conv2d(before, after, 3, stride=2, padding=1),
            nn.GroupNorm(math.gcd(8, after), after),
            nn.GELU(),
            nn.Conv2d(after, after, 3, padding=1),
            nn.GELU(),
        ]
    return nn.Sequential(*layers, nn.Conv2d(config.stem[-1], config.width, 1))


def _tower(config: ScorerConfig, layers: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(
        config.width,
        config.heads,
        4 * config.width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(
        layer, layers, norm=nn.LayerNorm(config.width), enable_nested_tensor=False
    )


class Scorer:
    """The trained encoder with a numpy interface.

    Attributes:
        encoder_id: Identifies the weights; keys the embedding cache.
    """

    def __init__(self, module: ImageTextEncoder, text: TextTokenizer, encoder_id: str) -> None:
        self.module = module.eval()
        self.tokenizer = text
        self.encoder_id = encoder_id

    @property
    def image_size(self) -> int:
        """Side of the pictures in pixels that it sees; others are resized."""
        return self.module.config.image_size

    @torch.inference_mode()
    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 `[n, H, W, 3]` -> float32 `[n, d]`, rows of unit length; images of any size.

        A row begins with the concept part, which shares its space with the texts.
        """
        batches = fixed_batches(len(images), _BATCH)
        side = self.module.config.image_size
        chunks = [self.module.image(_resized(to_pixels(images[rows]), side)) for rows in batches]
        return _rows(chunks, len(images), self.module.config.image_embedding)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts -> float32 `[n, text d]`, rows of unit length; compare by `clip_text_score`."""
        length = self.module.config.text_length
        chunks = [
            self.module.text(*self.tokenizer.batch([texts[row] for row in rows], length))
            for rows in fixed_batches(len(texts), _BATCH)
        ]
        return _rows(chunks, len(texts), self.module.config.embedding)


def _resized(pixels: Tensor, side: int) -> Tensor:
    """Resizes pixels `[B, 3, H, W]` to `[B, 3, side, side]`, if needed."""
    if pixels.shape[-2:] == (side, side):
        return pixels
    return F.interpolate(pixels, (side, side), mode="area")


def _rows(chunks: list[Tensor], count: int, width: int) -> NDArray[np.float32]:
    if not chunks:
        return np.zeros((0, width), dtype=np.float32)
    return torch.cat(chunks)[:count].numpy().astype(np.float32)


def load_scorer(name_or_path: str | Path) -> Scorer:
    """Loads the scorer of a model (`<model>/scorer`).

    Raises:
        ModelError: A file is missing, or the weights do not fit their configuration.
    """
    folder = model_folder(name_or_path) / "scorer"
    weights = folder / "model.safetensors"
    try:
        config = ScorerConfig.model_validate_json((folder / "config.json").read_text("utf-8"))
        module = ImageTextEncoder(config)
        module.load_state_dict({k: v.float() for k, v in load_file(weights).items()})
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"the scorer cannot be loaded: {shorten(str(error), 300)}",
            location=str(folder),
            remedy="Restore the model folder, or train it with `pigeon-rec train scorer`",
        ) from error
    text = TextTokenizer.load(model_folder(name_or_path) / "tokenizer.json")
    return Scorer(module, text, _encoder_id(config, weights))


def _encoder_id(config: ScorerConfig, weights: Path) -> str:
    """Identifies the image embeddings: the weights, and the weight of the style part if any."""
    name = f"scorer-{file_sha256(weights)[:16]}"
    return f"{name}-style-{config.style_weight:g}" if config.style_embedding else name
