"""The published sizes and parameter counts; `python -m` this module prints the counts.

Sizes are those of the released models: LaVIT-7B-v2 (arXiv 2309.04669; LLaMA-2-7B with 16,384 codes
in its vocabulary, EVA-CLIP's ViT-g), SDXL base 1.0 (arXiv 2307.01952) and Pigeon's checkpoint
(arXiv 2410.14170). Parts are built on the meta device, which takes no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from peft import LoraConfig
from transformers import LlamaConfig

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
from pigeon_rec.model.published.parts import PublishedParts, add_lora, build_parts
from pigeon_rec.model.published.sizes import HEADS, MASK_HEADS, MAX_TEXT_TOKENS, PublishedSizes

__all__ = ["FULL_SIZE", "LOW_RESOLUTION", "full_parts", "parameter_counts"]

_MLP_RATIO = 4.3637
_TEXT, _CODES = 32_000, 16_384

_BLOCKS: Mapping[str, Any] = MappingProxyType(
    {
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
    }
)
_SDXL_UNET: Mapping[str, Any] = MappingProxyType(
    {
        **_BLOCKS,
        "sample_size": 128,
        "block_out_channels": [320, 640, 1280],
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 10],
        "attention_head_dim": [5, 10, 20],
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    }
)
_SD_UNET: Mapping[str, Any] = MappingProxyType(
    {
        **_BLOCKS,
        "sample_size": 64,
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
        "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
        "attention_head_dim": 8,
        "cross_attention_dim": 768,
    }
)
_VAE: Mapping[str, Any] = MappingProxyType(
    {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "scaling_factor": 0.13025,
        "force_upcast": True,
    }
)
_SCHEDULE: Mapping[str, Any] = MappingProxyType(
    {
        "num_train_timesteps": 1000,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "prediction_type": "epsilon",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "clip_sample": False,
    }
)


def _sizes(projections: tuple[int, ...], unet: Mapping[str, Any]) -> PublishedSizes:
    high = len(projections) == 2
    config = PigeonConfig(
        name="lavit-7b",
        tokenizer=VisualTokenizerConfig(
            image_size=224, patch_size=14, width=1408, encoder_layers=40, heads=HEADS,
            merger_layers=12, mlp_ratio=_MLP_RATIO, code_dim=32, codebook_size=_CODES,
            keep="dynamic", published=True,
        ),
        decoder=DecoderConfig(
            code_dim=32, width=1408, layers=12, heads=HEADS, mlp_ratio=_MLP_RATIO, queries=256,
            output_width=1408, projections=projections, pooled=high, preview_patch=0,
        ),
        mask_generator=MaskGeneratorConfig(heads=MASK_HEADS, feedforward=2048, published=True),
        adapter=AdapterConfig(hidden=512, dropout=0.2, reference_tokens=1),
        language_model=LanguageModelConfig(
            text_vocabulary=_TEXT, hidden=4096, layers=32, heads=32, intermediate=11008,
            max_text_tokens=MAX_TEXT_TOKENS, tie_embeddings=False,
        ),
        autoencoder=AutoencoderConfig(
            patch=1, latent_channels=4, channels=tuple(_VAE["block_out_channels"]),
            layers_per_block=2, norm_groups=32,
        ),
        renderer=RendererConfig(
            channels=tuple(unet["block_out_channels"]), layers_per_block=2, head_width=64,
            norm_groups=32, grid_channels=0, prediction="epsilon",
        ),
    )  # fmt: skip
    llama = LlamaConfig(
        vocab_size=_TEXT + 2 + _CODES, hidden_size=4096, intermediate_size=11008,
        num_hidden_layers=32, num_attention_heads=32, max_position_embeddings=4096,
        rms_norm_eps=1e-5, tie_word_embeddings=False,
    )  # fmt: skip
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "v_proj"])
    empty = None if high else (1, 77, 768)
    return PublishedSizes(config, llama, lora, unet, _VAE, _SCHEDULE, empty)


FULL_SIZE = _sizes((768, 1280), _SDXL_UNET)
"""The authors' model: LaVIT-7B-v2 with SDXL."""

LOW_RESOLUTION = _sizes((768,), _SD_UNET)
"""LaVIT's first pixel decoder, on the UNet of Stable Diffusion 1.5 at 512 pixels."""


def full_parts(sizes: PublishedSizes = FULL_SIZE) -> PublishedParts:
    """Returns all parts on the meta device, with the language model's adapter."""
    parts = build_parts(sizes)
    add_lora(parts.personalisation.language_model, sizes.lora)
    return parts


def parameter_counts(sizes: PublishedSizes = FULL_SIZE) -> dict[str, int]:
    """Returns the number of weights of each part, by the name of its files, without overlap."""
    parts = full_parts(sizes)
    counts = {
        name: sum(weight.numel() for weight in module.parameters())
        for name, module in parts.by_file().items()
    }
    adapter = (
        weight.numel()
        for name, weight in parts.personalisation.language_model.named_parameters()
        if ".lora_" in name
    )
    counts["lora"] = sum(adapter)
    counts["language_model"] -= counts["lora"]
    counts["visual_tokenizer"] -= counts["visual_encoder"]
    return counts


def _print_table() -> None:
    high, low = parameter_counts(), parameter_counts(LOW_RESOLUTION)
    print(f"{'part':<18} {'highres':>14} {'lowres':>14}")
    for name in high:
        print(f"{name:<18} {high[name]:>14,} {low[name]:>14,}")
    print(f"{'all':<18} {sum(high.values()):>14,} {sum(low.values()):>14,}")


if __name__ == "__main__":
    _print_table()
