"""Loads trained parts, frozen, for the recipes that build on them."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.image_generator import LatentCodec
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE, VisualTokenizer
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.training.artwork import TrainingArtwork
from pigeon_rec.training.code_cache import cached_codes

__all__ = [
    "artwork_codes",
    "encode_codes",
    "encode_latents",
    "load_codec",
    "load_part",
    "load_tokenizer",
]

_BATCH = 128

Module = TypeVar("Module", bound=nn.Module)


def load_part(module: nn.Module, folder: Path, recipe: str, prefix: str = "") -> None:
    """Loads the weights of `recipe` whose names start with `prefix` into `module`.

    Raises:
        TrainingError: The recipe has not been trained in `folder`, or its sizes differ.
    """
    path = folder / recipe / "model.safetensors"
    try:
        weights = load_file(path)
        chosen = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}
        module.load_state_dict(chosen)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrainingError(
            f"the weights of recipe {recipe!r} cannot be used: {shorten(str(error), 300)}",
            location=str(path),
            remedy=f"Train it first: pigeon-rec train {recipe}",
        ) from error


def load_tokenizer(config: PigeonConfig, folder: Path) -> tuple[VisualTokenizer, TokenizerDecoder]:
    """Loads the trained visual tokenizer and its decoder, frozen."""
    tokenizer, decoder = VisualTokenizer(config.tokenizer), TokenizerDecoder(config.decoder)
    load_part(tokenizer, folder, "tokenizer", "tokenizer.")
    load_part(decoder, folder, "tokenizer", "decoder.")
    return _freeze(tokenizer), _freeze(decoder)


def load_codec(config: PigeonConfig, folder: Path) -> LatentCodec:
    """Loads the trained latent autoencoder, frozen."""
    codec = LatentCodec(config.autoencoder)
    load_part(codec, folder, "autoencoder")
    return _freeze(codec)


def _freeze(module: Module) -> Module:
    return module.requires_grad_(False).eval()


def artwork_codes(tokenizer: VisualTokenizer, artwork: TrainingArtwork, folder: Path) -> Tensor:
    """Code rows int64 `[2 n, patches]`: all artwork, then its mirror images.

    Cached in `folder/image_codes.safetensors`.
    """
    digest = file_sha256(folder / "tokenizer" / "model.safetensors")
    images = np.concatenate([artwork.images, artwork.images[:, :, ::-1]])
    path = folder / "image_codes.safetensors"
    return cached_codes(path, digest, images, lambda chosen: encode_codes(tokenizer, chosen))


@torch.no_grad()
def encode_codes(tokenizer: VisualTokenizer, images: NDArray[np.uint8]) -> Tensor:
    """Code rows int64 `[n, patches]` of uint8 images, padded with `NO_CODE`."""
    codes = torch.full((len(images), tokenizer.config.patches), NO_CODE)
    for start in range(0, len(images), _BATCH):
        ids = tokenizer.encode(to_pixels(images[start : start + _BATCH])).ids
        codes[start : start + len(ids), : ids.shape[1]] = ids
    return codes


@torch.no_grad()
def encode_latents(codec: LatentCodec, images: NDArray[np.uint8]) -> Tensor:
    """Raw latents `[n, C, h, w]` (posterior modes) of uint8 images."""
    parts = [
        codec.posterior(to_pixels(images[start : start + _BATCH])).mode()
        for start in range(0, len(images), _BATCH)
    ]
    return torch.cat(parts)
