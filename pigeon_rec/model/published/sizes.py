"""Sizes of the parts of a published folder, read from shapes of weights and saved settings.

LaVIT's and Pigeon's own parts have no settings files. Their code fixes the number of heads; all
other sizes are those of the weights, so that any folder in this layout can be loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peft import LoraConfig, PeftConfig
from pydantic import ValidationError
from torch import Tensor
from transformers import LlamaConfig

from pigeon_rec.errors import ModelError
from pigeon_rec.model.configuration import (
    AdapterConfig,
    AutoencoderConfig,
    DecoderConfig,
    LanguageModelConfig,
    MaskGeneratorConfig,
    PigeonConfig,
    RendererConfig,
    VisualTokenizerConfig,
)
from pigeon_rec.model.published.folder import PublishedFolder, usable
from pigeon_rec.model.published.weight_files import WeightFiles

__all__ = ["HEADS", "MASK_HEADS", "MAX_TEXT_TOKENS", "PublishedSizes", "measure"]

HEADS, MASK_HEADS = 16, 4
"""Attention heads of encoder, merger and decoder, and of the mask generator."""

MAX_TEXT_TOKENS = 128
"""Length of a target's text; published semantics are a sentence or two."""

_DROPOUT = 0.2


@dataclass(frozen=True)
class PublishedSizes:
    """Sizes and settings of all parts.

    Attributes:
        config: Sizes of LaVIT's and Pigeon's own parts.
        llama: Settings of the language model.
        lora: Settings of its adapter.
        unet: Settings of the UNet, as diffusers saves them.
        vae: Settings of the autoencoder.
        scheduler: Settings of the noise schedule.
        unconditional: Shape of the stored embedding of an empty text; `lowres` only.
    """

    config: PigeonConfig
    llama: LlamaConfig
    lora: LoraConfig
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    unconditional: tuple[int, ...] | None = None


def measure(folder: PublishedFolder, files: Mapping[str, WeightFiles]) -> PublishedSizes:
    """Reads sizes from the headers of the weights, without their contents.

    Raises:
        ModelError: A key whose shape is needed is missing, settings are unusable, or sizes do not
            fit together; the message names key and file.
    """
    shapes = _Shapes(files)
    llama = _llama(folder)
    unet, vae = (
        folder.settings(folder.renderer / part / "config.json") for part in ("unet", "vae")
    )
    try:
        tokenizer = _tokenizer(shapes)
        config = PigeonConfig(
            name=folder.root.name,
            tokenizer=tokenizer,
            decoder=_decoder(shapes, folder.resolution == "highres"),
            mask_generator=_mask_generator(shapes),
            adapter=AdapterConfig(
                hidden=shapes.of("adapter", "encoder.weight")[0],
                dropout=_DROPOUT,
                reference_tokens=1,
            ),
            language_model=_language_model(llama, tokenizer.codebook_size),
            autoencoder=_autoencoder(vae),
            renderer=_renderer(unet),
        )
    except (ValidationError, KeyError) as error:
        raise ModelError(
            f"the parts' sizes do not fit together: {error}", location=str(folder.root)
        ) from error
    return PublishedSizes(
        config,
        llama,
        _lora(folder),
        unet,
        vae,
        folder.settings(folder.renderer / "scheduler" / "scheduler_config.json"),
        shapes.of("unconditional", "") if "unconditional" in files else None,
    )


class _Shapes:
    """Shapes of published tensors, by part and key; each part's headers are read once."""

    def __init__(self, files: Mapping[str, WeightFiles]) -> None:
        self._files = files
        self._headers: dict[str, dict[str, Tensor]] = {}

    def of(self, part: str, key: str) -> tuple[int, ...]:
        found = self._part(part).get(key)
        if found is None:
            raise ModelError(
                f"the keys do not fit: missing are {key}", location=str(self._files[part].location)
            )
        return tuple(found.shape)

    def layers(self, part: str, pattern: str) -> int:
        """One more than the highest number after `pattern`."""
        found = (re.match(rf"{pattern}\.(\d+)\.", name) for name in self._part(part))
        return 1 + max((int(match[1]) for match in found if match), default=-1)

    def _part(self, part: str) -> dict[str, Tensor]:
        if part not in self._headers:
            self._headers[part] = self._files[part].headers()
        return self._headers[part]


def _tokenizer(shapes: _Shapes) -> VisualTokenizerConfig:
    _, positions, width = shapes.of("visual_encoder", "pos_embed")
    patch = shapes.of("visual_encoder", "patch_embed.proj.weight")[-1]
    hidden = shapes.of("visual_encoder", "blocks.0.mlp.fc1.weight")[0]
    codes, code_dim = shapes.of("visual_tokenizer", "quantize.embedding.weight")
    return VisualTokenizerConfig(
        image_size=patch * round((positions - 1) ** 0.5),
        patch_size=patch,
        width=width,
        encoder_layers=shapes.layers("visual_encoder", "blocks"),
        heads=HEADS,
        merger_layers=shapes.layers("visual_tokenizer", r"causal_encoder\.blocks"),
        mlp_ratio=(hidden + 0.5) / width,
        code_dim=code_dim,
        codebook_size=codes,
        keep="dynamic",
        published=True,
    )


def _decoder(shapes: _Shapes, high: bool) -> DecoderConfig:
    part = "tokenizer_decoder"
    width, code_dim = shapes.of(part, "in_proj.weight")
    projections = ("unet_proj_1", "unet_proj_2") if high else ("unet_proj",)
    return DecoderConfig(
        code_dim=code_dim,
        width=width,
        layers=shapes.layers(part, "blocks"),
        heads=HEADS,
        mlp_ratio=(shapes.of(part, "blocks.0.mlp.fc1.weight")[0] + 0.5) / width,
        queries=shapes.of(part, "query_embed")[1],
        output_width=shapes.of(part, "decode_task_layer.2.weight")[0],
        projections=tuple(shapes.of(part, f"{name}.weight")[0] for name in projections),
        pooled=high,
        preview_patch=0,
    )


def _mask_generator(shapes: _Shapes) -> MaskGeneratorConfig:
    return MaskGeneratorConfig(
        layers=shapes.layers("mask_generator", r"encoder\.layers"),
        heads=MASK_HEADS,
        feedforward=shapes.of("mask_generator", "encoder.layers.0.linear1.weight")[0],
        max_position=shapes.of("mask_generator", "position_embedding.pe")[0] - 1,
        dropout=_DROPOUT,
        published=True,
    )


def _language_model(llama: LlamaConfig, codes: int) -> LanguageModelConfig:
    return LanguageModelConfig(
        text_vocabulary=llama.vocab_size - codes - 2,
        hidden=llama.hidden_size,
        layers=llama.num_hidden_layers,
        heads=llama.num_attention_heads,
        intermediate=llama.intermediate_size,
        max_text_tokens=MAX_TEXT_TOKENS,
        tie_embeddings=llama.tie_word_embeddings,
    )


def _autoencoder(vae: Mapping[str, Any]) -> AutoencoderConfig:
    return AutoencoderConfig(
        patch=1,
        latent_channels=vae["latent_channels"],
        channels=tuple(vae["block_out_channels"]),
        layers_per_block=vae["layers_per_block"],
        norm_groups=vae["norm_num_groups"],
    )


def _renderer(unet: Mapping[str, Any]) -> RendererConfig:
    heads = unet["attention_head_dim"]  # diffusers' name for the number of heads
    channels = tuple(unet["block_out_channels"])
    return RendererConfig(
        channels=channels,
        layers_per_block=unet["layers_per_block"],
        head_width=max(1, channels[-1] // (heads[-1] if isinstance(heads, list) else heads)),
        norm_groups=unet["norm_num_groups"],
        grid_channels=0,
        prediction="epsilon",
    )


def _llama(folder: PublishedFolder) -> LlamaConfig:
    path = folder.language_model / "config.json"
    settings = folder.settings(path)
    with usable("the language model's settings", path):
        if settings.get("model_type") != LlamaConfig.model_type:
            raise ValueError(f"model_type is {settings.get('model_type')!r}, not 'llama'")
        return LlamaConfig.from_dict(settings)


def _lora(folder: PublishedFolder) -> LoraConfig:
    path = folder.lora / "adapter_config.json"
    folder.settings(path)  # is there, and is JSON
    with usable("the adapter's settings", path):
        config = PeftConfig.from_pretrained(str(folder.lora))
        if not isinstance(config, LoraConfig):
            raise TypeError(f"it is a {type(config).__name__}, not LoRA")
        return config
