"""Writes a folder in the published layout with tiny shapes and random weights.

Every key is spelled out here as the published code names it (LaVIT's and Pigeon's modules) or saved
by the library that owns the format (transformers, diffusers, peft, sentencepiece): nothing is taken
from the maps under test.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from pathlib import Path

import sentencepiece
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tests.model.tiny import seeded

__all__ = [
    "ADAPTER", "CODES", "DECODER", "EVA", "HIDDEN", "IMAGE", "MASK_GENERATOR", "PATCH", "POSITIONS",
    "TEXT", "TOKENIZER", "WIDTH", "rewrite", "write_layout",
]  # fmt: skip

WIDTH, HEADS, EVA_LAYERS, MERGER_LAYERS = 32, 16, 3, 2
PATCH, IMAGE = 8, 32
PATCHES = (IMAGE // PATCH) ** 2
MLP = int(WIDTH * 4.3637)
CODES, CODE_DIM, OUT, FIRST, SECOND = 48, 8, 48, 24, 16
HIDDEN, LAYERS, TEXT = 32, 2, 320
POSITIONS, FEEDFORWARD, ADAPTER_HIDDEN = PATCHES + 1, 64, 20

Shapes = Mapping[str, tuple[int, ...]]


def _linear(name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, width: int = WIDTH) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _eva_block(i: int) -> dict[str, tuple[int, ...]]:
    name = f"blocks.{i}"
    return {
        **_norm(f"{name}.norm1"),
        f"{name}.attn.q_bias": (WIDTH,),
        f"{name}.attn.v_bias": (WIDTH,),
        f"{name}.attn.qkv.weight": (3 * WIDTH, WIDTH),
        **_linear(f"{name}.attn.proj", WIDTH, WIDTH),
        **_norm(f"{name}.norm2"),
        **_linear(f"{name}.mlp.fc1", MLP, WIDTH),
        **_linear(f"{name}.mlp.fc2", WIDTH, MLP),
    }


def _cross(name: str) -> dict[str, tuple[int, ...]]:
    parts = ("query", "key", "value", "proj")
    return {k: v for part in parts for k, v in _linear(f"{name}.{part}", WIDTH, WIDTH).items()}


def _block(i: int, prefix: str, own: str, cross: str) -> dict[str, tuple[int, ...]]:
    """A block of merger or decoder: self-attention, cross-attention, MLP."""
    name = f"{prefix}blocks.{i}"
    return {
        **_norm(f"{name}.norm0"),
        **_linear(f"{name}.{own}.qkv", 3 * WIDTH, WIDTH),
        **_linear(f"{name}.{own}.proj", WIDTH, WIDTH),
        **_norm(f"{name}.norm1"),
        **_cross(f"{name}.{cross}"),
        **_norm(f"{name}.norm2"),
        **_linear(f"{name}.mlp.fc1", MLP, WIDTH),
        **_linear(f"{name}.mlp.fc2", WIDTH, MLP),
    }


EVA: Shapes = {
    "cls_token": (1, 1, WIDTH),
    "pos_embed": (1, PATCHES + 1, WIDTH),
    "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
    "patch_embed.proj.bias": (WIDTH,),
    **{k: v for i in range(EVA_LAYERS) for k, v in _eva_block(i).items()},
    **_norm("norm"),
    **_linear("head", 12, WIDTH),
}
TOKENIZER: Shapes = {
    **_norm("token_predictor.in_conv.0"),
    **_linear("token_predictor.in_conv.1", WIDTH, WIDTH),
    **_linear("token_predictor.out_conv.0", WIDTH // 2, WIDTH),
    **_linear("token_predictor.out_conv.2", WIDTH // 4, WIDTH // 2),
    **_linear("token_predictor.out_conv.4", 2, WIDTH // 4),
    **{
        k: v
        for i in range(MERGER_LAYERS)
        for k, v in _block(i, "causal_encoder.", "token_causal_attn", "token_cross_attn").items()
    },
    **_norm("causal_encoder.ln_vision"),
    **_norm("causal_encoder.norm"),
    **_linear("encode_task_layer.0", WIDTH, WIDTH),
    **_linear("encode_task_layer.2", CODE_DIM, WIDTH),
    "quantize.embedding.weight": (CODES, CODE_DIM),
}
_DECODER_TRUNK: Shapes = {
    **_linear("in_proj", WIDTH, CODE_DIM),
    "pos_embed": (1, PATCHES, WIDTH),
    "query_embed": (1, PATCHES, WIDTH),
    **{k: v for i in range(2) for k, v in _block(i, "", "self_attn", "cross_attn").items()},
    **_norm("norm"),
    **_linear("decode_task_layer.0", WIDTH, WIDTH),
    **_linear("decode_task_layer.2", OUT, WIDTH),
}
DECODER: dict[str, Shapes] = {
    "highres": {
        **_DECODER_TRUNK,
        **_linear("unet_proj_1", FIRST, OUT),
        **_linear("unet_proj_2", SECOND, OUT),
        "unet_attnpool.positional_embedding": (PATCHES + 1, OUT),
        **_linear("unet_attnpool.k_proj", OUT, OUT),
        **_linear("unet_attnpool.q_proj", OUT, OUT),
        **_linear("unet_attnpool.v_proj", OUT, OUT),
        **_linear("unet_attnpool.c_proj", SECOND, OUT),
    },
    "lowres": {**_DECODER_TRUNK, **_linear("unet_proj", FIRST, OUT)},
}
PROMPT = {"highres": FIRST + SECOND, "lowres": FIRST}
MASK_GENERATOR: Shapes = {
    "encoder.layers.0.self_attn.in_proj_weight": (3 * HIDDEN, HIDDEN),
    "encoder.layers.0.self_attn.in_proj_bias": (3 * HIDDEN,),
    **_linear("encoder.layers.0.self_attn.out_proj", HIDDEN, HIDDEN),
    **_linear("encoder.layers.0.linear1", FEEDFORWARD, HIDDEN),
    **_linear("encoder.layers.0.linear2", HIDDEN, FEEDFORWARD),
    **_norm("encoder.layers.0.norm1", HIDDEN),
    **_norm("encoder.layers.0.norm2", HIDDEN),
    "position_embedding.pe": (POSITIONS, HIDDEN),
    "type_embedding.weight": (3, HIDDEN),
    **_linear("dense", HIDDEN, HIDDEN),
    **_norm("LayerNorm", HIDDEN),
}
ADAPTER = {
    kind: {
        **_linear("encoder", ADAPTER_HIDDEN, width),
        **_linear("decoder", HIDDEN, ADAPTER_HIDDEN),
    }
    for kind, width in PROMPT.items()
}

_UNET = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "layers_per_block": 1,
    "block_out_channels": (16, 32), "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip
_SDXL = {
    **_UNET, "attention_head_dim": (2, 4), "cross_attention_dim": PROMPT["highres"],
    "use_linear_projection": True, "transformer_layers_per_block": (1, 2),
    "addition_embed_type": "text_time", "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": SECOND + 6 * 4,
}  # fmt: skip
_SD = {**_UNET, "attention_head_dim": 4, "cross_attention_dim": PROMPT["lowres"]}
_SCHEDULE = {
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
    "clip_sample": False, "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "set_alpha_to_one": False, "steps_offset": 1, "trained_betas": None,
}  # fmt: skip


def write_layout(
    root: Path, resolution: str = "highres", *, safetensors: bool = False, shards: int = 2
) -> Path:
    """Writes all parts; returns `root`.

    Args:
        root: Made if it is not there.
        resolution: `highres` or `lowres`.
        safetensors: How transformers, diffusers and Pigeon's trainer save; LaVIT's own are `.bin`.
        shards: Files of the language model.
    """
    with seeded(3):
        _write_lavit(root, resolution)
        _write_language_model(root, safetensors, shards)
        _write_renderer(root, resolution, safetensors)
        for name, shapes in (("mask_generator", MASK_GENERATOR), ("adapter", ADAPTER[resolution])):
            _save(_drawn(shapes), root / name, "model", safetensors)
    return root


def rewrite(path: Path, change: Mapping[str, Tensor | None]) -> None:
    """Changes tensors of a `.bin` file; None removes one."""
    weights = torch.load(path, weights_only=True) | change
    torch.save({k: v for k, v in weights.items() if v is not None}, path)


def _drawn(shapes: Shapes) -> dict[str, Tensor]:
    """Weights large enough for choices to depend on them; norms near one."""
    drawn = {}
    for name, shape in shapes.items():
        one = "norm" in name.lower() or "in_conv.0" in name or "ln_vision" in name
        centre = 1.0 if one and name.endswith("weight") else 0.0
        drawn[name] = centre + torch.randn(shape) * (0.1 if len(shape) < 2 else shape[-1] ** -0.5)
    if "position_embedding.pe" in drawn:
        drawn["position_embedding.pe"] = torch.rand(POSITIONS, HIDDEN) * 2 - 1
    return drawn


def _write_lavit(root: Path, resolution: str) -> None:
    folder = root / "visual_tokenizer"
    folder.mkdir(parents=True)
    name = "highres_tokenizer_decoder" if resolution == "highres" else "tokenizer_decoder"
    torch.save(_drawn(EVA), folder / "eva_vitg_psz14.bin")
    # The published code reads the file with `strict=False`; other keys are not Pigeon's.
    extra = {"vit_proj.weight": (HIDDEN, WIDTH), "vit_proj.bias": (HIDDEN,)}
    torch.save(_drawn({**TOKENIZER, **extra}), folder / "tokenizer_encoder.bin")
    torch.save(_drawn(DECODER[resolution]), folder / f"{name}.bin")


def _write_language_model(root: Path, safetensors: bool, shards: int) -> None:
    folder = root / "language_model"
    folder.mkdir()
    config = LlamaConfig(
        vocab_size=TEXT + 2 + CODES, hidden_size=HIDDEN, intermediate_size=64,
        num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=4,
        max_position_embeddings=4096, rms_norm_eps=1e-5, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.0 if weight.dim() == 1 else 10.0)  # else all codes are equally likely
    (folder / "config.json").write_text(
        json.dumps(config.to_dict() | {"architectures": ["LlamaForCausalLM"]})
    )
    weights = dict(model.state_dict())
    for i in range(LAYERS):  # as older files have them
        weights[f"model.layers.{i}.self_attn.rotary_emb.inv_freq"] = torch.rand(4)
    _save_shards(weights, folder, safetensors, shards)
    _write_text_tokenizer(folder)
    _write_lora(model, root / "llama", safetensors)


def _save_shards(weights: dict[str, Tensor], folder: Path, safe: bool, shards: int) -> None:
    if shards == 1:
        _save(weights, folder, "model", safe)
        return
    stem, suffix = ("model", "safetensors") if safe else ("pytorch_model", "bin")
    names, places = sorted(weights), {}
    for shard in range(shards):
        own = {name: weights[name] for name in names[shard::shards]}
        file = f"{stem}-{shard + 1:05}-of-{shards:05}.{suffix}"
        _save_as(own, folder / file)
        places.update(dict.fromkeys(own, file))
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))


def _save(weights: dict[str, Tensor], folder: Path, stem: str, safe: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{stem}.safetensors" if safe else f"{'pytorch_model' if stem == 'model' else stem}.bin"
    _save_as(weights, folder / name)


def _save_as(weights: dict[str, Tensor], path: Path) -> None:
    if path.suffix == ".bin":
        torch.save(weights, path)
    else:
        from safetensors.torch import save_file

        save_file({name: weight.contiguous() for name, weight in weights.items()}, path)


def _write_text_tokenizer(folder: Path) -> None:
    model = io.BytesIO()
    with redirect_stderr(io.StringIO()):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_sentences(), model_writer=model, vocab_size=TEXT, model_type="bpe",
            byte_fallback=True, pad_id=-1, minloglevel=2,
        )  # fmt: skip
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    settings = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _sentences() -> Iterator[str]:
    for thing in ("cat", "dog", "red apple", "happy sticker", "film about the sea"):
        yield f"Show this {thing} in the style of the pictures that the person picked before."


def _write_lora(model: LlamaForCausalLM, folder: Path, safetensors: bool) -> None:
    config = LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.05, target_modules=["q_proj", "v_proj"],
        bias="none", task_type="CAUSAL_LM",
    )  # fmt: skip
    wrapped = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    wrapped.save_pretrained(str(folder), safe_serialization=safetensors)
    (folder / "README.md").unlink(missing_ok=True)


def _write_renderer(root: Path, resolution: str, safetensors: bool) -> None:
    high = resolution == "highres"
    folder = root / ("highres_pixel_decoding" if high else "pixel_decoding")
    unet = UNet2DConditionModel(**(_SDXL if high else _SD))
    vae = AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4,
        scaling_factor=0.13025, force_upcast=True,
    )  # fmt: skip
    for name, part in (("unet", unet), ("vae", vae)):
        part.save_config(str(folder / name))
        weights = dict(part.state_dict())
        _save(weights, folder / name, "diffusion_pytorch_model", safetensors)
    (folder / "scheduler").mkdir()
    kind = {"_class_name": "EulerDiscreteScheduler" if high else "PNDMScheduler"}
    settings = json.dumps(kind | _SCHEDULE)
    (folder / "scheduler" / "scheduler_config.json").write_text(settings)
    if not high:
        torch.save(torch.randn(1, 5, PROMPT["lowres"]), folder / "uncond_embeddings.bin")
