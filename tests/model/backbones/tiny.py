"""Backbones of a few thousand random weights, as diffusers and transformers save them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    GenerationConfig,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusImageProcessor,
    JanusProcessor,
    JanusVisionConfig,
    JanusVQVAEConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

__all__ = ["SIDE", "write_ip_adapter", "write_janus", "write_sd", "write_sdxl"]

SIDE = 32
"""Side of the pictures in pixels."""
_TEXT, _SEEN = 16, 12


def write_sd(folder: Path, *, seed: int = 0) -> Path:
    """A pipeline as Stable Diffusion 1.5 with its IP-Adapter, in one folder."""
    torch.manual_seed(seed)
    unet = _unet(_TEXT)
    StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=_tokenizer(),
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    write_ip_adapter(folder / "ip_adapter", unet, _TEXT)
    return folder


def write_sdxl(folder: Path, *, seed: int = 0) -> Path:
    """A pipeline as Stable Diffusion XL in `pipeline/`, with a `backbone.json`."""
    torch.manual_seed(seed)
    unet = _unet(
        2 * _TEXT,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + _TEXT,
    )
    StableDiffusionXLPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(_text_config()),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
    ).save_pretrained(folder / "pipeline")
    write_ip_adapter(folder / "ip_adapter", unet, 2 * _TEXT)
    (folder / "backbone.json").write_text(json.dumps({"kind": "ip_adapter"}), "utf-8")
    return folder


def write_ip_adapter(folder: Path, unet: UNet2DConditionModel, width: int) -> None:
    """Weights under the names of the authors' files, and an image encoder."""
    weights = {
        "image_proj.proj.weight": torch.randn(4 * width, _SEEN) * 0.5,
        "image_proj.proj.bias": torch.zeros(4 * width),
        "image_proj.norm.weight": torch.ones(width),
        "image_proj.norm.bias": torch.zeros(width),
    }
    for number, name in enumerate(unet.attn_processors):
        if name.endswith("attn2.processor"):
            layer = unet.get_submodule(name.removesuffix(".processor"))
            for part in ("k", "v"):
                shape = (layer.to_k.weight.shape[0], width)
                weights[f"ip_adapter.{number}.to_{part}_ip.weight"] = torch.randn(shape) * 0.5
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "ip-adapter_tiny.safetensors")
    config = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        image_size=16, patch_size=8, projection_dim=_SEEN,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(folder / "image_encoder")


def write_janus(folder: Path, *, seed: int = 0) -> Path:
    """A Janus model whose pictures are 4 x 4 tokens."""
    torch.manual_seed(seed)
    vision = JanusVisionConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=SIDE, patch_size=8,
        projection_dim=16, num_image_tokens=16,
    )  # fmt: skip
    codes = JanusVQVAEConfig(
        embed_dim=4, num_embeddings=64, latent_channels=16, base_channels=32,
        channel_multiplier=[1, 1, 1, 1], num_res_blocks=1, projection_dim=16,
        image_token_embed_dim=16,
    )  # fmt: skip
    tokenizer = _words()
    text = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=512,
        bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    config = JanusConfig(text_config=text, vision_config=vision, vq_config=codes, image_token_id=3)
    model = JanusForConditionalGeneration(config)
    for weight in model.model.generation_head.parameters():
        torch.nn.init.normal_(weight)  # or all tokens would be about equally likely
    model.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=1, pad_token_id=2, generation_kwargs={"boi_token_id": 4}
    )
    model.save_pretrained(folder)
    JanusProcessor(JanusImageProcessor(), tokenizer).save_pretrained(folder)
    return folder


def _words() -> PreTrainedTokenizerFast:
    special = ["<s>", "</s>", "<pad>", "<image>", "<boi>", "<eoi>", "<unk>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"},
    )


def _unet(width: int, **more: object) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=4,
        **more,
    )


def _autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        sample_size=SIDE,
    )


def _text_config() -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=600,
        hidden_size=_TEXT,
        intermediate_size=_TEXT,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=_TEXT,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


def _tokenizer() -> CLIPTokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{x}</w>" for x in letters)]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77
    )
