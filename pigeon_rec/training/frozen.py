"""Loads trained parts, frozen, for the recipes that build on them."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pigeon_rec.errors import TrainingError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.image_generator import LatentCodec
from pigeon_rec.model.tokenizer_decoder import TokenizerDecoder
from pigeon_rec.model.visual_tokenizer import NO_CODE, VisualTokenizer
from pigeon_rec.training.draws import uniform

__all__ = ["load_codec", "load_part", "load_tokenizer", "near_codes", "swap_codes"]

_NEAR, _SWAPPED = 8, 0.7

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


def near_codes(rows: Tensor) -> Tensor:
    """The eight nearest other rows of each codebook row `[codebook, code_dim]`, int64."""
    return (rows @ rows.T).topk(min(_NEAR + 1, len(rows))).indices[:, 1:]


def swap_codes(codes: Tensor, near: Tensor, largest: float, random: torch.Generator) -> Tensor:
    """Swaps a random share, up to `largest`, of each row's codes for near ones.

    Three rows in ten stay as they are.

    Args:
        codes: int64 `[B, P]`, may be padded with `NO_CODE`.
        near: From `near_codes`.
        largest: Largest share of a row, in [0, 1].
        random: On the device of the codes.
    """
    count = len(codes)
    share = uniform(random, count, 1) * largest * (uniform(random, count, 1) < _SWAPPED)
    pick = torch.randint(near.shape[1], codes.shape, generator=random, device=random.device)
    swapped = (uniform(random, *codes.shape) < share) & (codes != NO_CODE)
    return torch.where(swapped, near[codes.clamp(min=0), pick], codes)
