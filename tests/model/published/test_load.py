"""`load_pipeline` reads the published layout: however saved, nothing missing, nothing left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch

from pigeon_rec.errors import ModelError
from pigeon_rec.model.loading import load_pipeline
from pigeon_rec.model.paths import is_published, model_folder
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.published.load import load_published
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION, PublishedPipeline
from pigeon_rec.model.version import model_version
from tests.model.published.layout import CODES, DECODER, TEXT, rewrite, write_layout
from tests.model.tiny import pictures

QUICK = PUBLISHED_GENERATION.model_copy(update={"mask_ratios": (0.3,), "diffusion_steps": 2})


def weights(pipeline: PublishedPipeline) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": tensor
        for name, part in pipeline.parts().items()
        for key, tensor in part.state_dict().items()
    }


def test_load_pipeline_recognises_the_layout(layout: Path) -> None:
    pipeline = load_pipeline(layout, batch_size=3)
    assert isinstance(pipeline, PublishedPipeline)
    assert pipeline.batch_size == 3
    assert pipeline.config.tokenizer.codebook_size == CODES
    assert pipeline.personalisation.vocabulary.image_start == TEXT
    assert model_folder(layout) == layout
    assert is_published(layout)
    assert model_version(layout).startswith("lavit-")


@pytest.mark.parametrize("resolution", ["highres", "lowres"])
def test_it_draws(layout: Path, low_layout: Path, resolution: str) -> None:
    pipeline = load_pipeline(layout if resolution == "highres" else low_layout)
    drawn = pipeline(
        pictures(1, 3, side=32),
        pictures(1, side=32, seed=1),
        ["a cat"],
        keys=["k"],
        settings=QUICK,
    )
    assert drawn.images.shape == (1, 1, 16, 16, 3)
    assert drawn.images.std() > 0


def test_files_of_any_kind_give_the_same_weights(
    published: PublishedPipeline, tmp_path: Path
) -> None:
    one = weights(load_published(write_layout(tmp_path / "safe", safetensors=True, shards=3)))
    other = weights(load_published(write_layout(tmp_path / "bin", shards=1)))
    known = weights(published)
    assert one.keys() == other.keys() == known.keys()
    for key, tensor in known.items():
        assert torch.equal(one[key], tensor), key
        assert torch.equal(other[key], tensor), key


def test_weights_are_those_of_the_files(published: PublishedPipeline, layout: Path) -> None:
    found = weights(published)
    eva = torch.load(layout / "visual_tokenizer" / "eva_vitg_psz14.bin", weights_only=True)
    prefix = "visual_tokenizer.encoder.vision"
    assert torch.equal(found[f"{prefix}.embeddings.position_embedding"], eva["pos_embed"])
    weight = found[f"{prefix}.encoder.layers.2.self_attn.projection.weight"]
    assert torch.equal(weight, eva["blocks.2.attn.proj.weight"])
    decoder = layout / "visual_tokenizer" / "highres_tokenizer_decoder.bin"
    unet_proj = torch.load(decoder, weights_only=True)["unet_proj_2.bias"]
    assert torch.equal(found["tokenizer_decoder.projections.1.bias"], unet_proj)
    lora = torch.load(layout / "llama" / "adapter_model.bin", weights_only=True)
    theirs = lora["base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"]
    ours = "personalisation.language_model.model.layers.1.self_attn.v_proj.lora_B.default.weight"
    assert torch.equal(found[ours], theirs)
    pe = torch.load(layout / "mask_generator" / "pytorch_model.bin", weights_only=True)
    assert torch.equal(
        found["personalisation.mask_generator.positions"], pe["position_embedding.pe"]
    )


def test_nothing_is_left_without_memory_and_nothing_is_trained(
    published: PublishedPipeline,
) -> None:
    for part in published.parts().values():
        tensors = [*part.parameters(), *part.buffers()]
        assert {t.device.type for t in tensors} == {"cpu"}
        assert {t.dtype for t in part.parameters()} == {torch.float32}
        assert not any(p.requires_grad for p in part.parameters())
        assert not any(module.training for module in part.modules())


def test_settings_of_the_language_model_are_those_of_its_file(published: PublishedPipeline) -> None:
    config = published.personalisation.language_model.config
    assert config.rms_norm_eps == 1e-5
    assert config.max_position_embeddings == 4096


def test_text_ids_are_sentencepieces(published: PublishedPipeline, layout: Path) -> None:
    reader = sentencepiece.SentencePieceProcessor(
        model_file=str(layout / "language_model" / "tokenizer.model")
    )
    for text in ("a happy sticker", "Show this red apple.", "ünknown — 写"):
        assert published.text.encode(text) == reader.encode(text)
    assert len(published.text) == TEXT


def test_the_adapter_changes_what_is_written(published: PublishedPipeline, copied: Path) -> None:
    path = copied / "llama" / "adapter_model.bin"
    lora = torch.load(path, weights_only=True)
    rewrite(path, {k: torch.zeros_like(w) for k, w in lora.items() if "lora_B" in k})
    inputs = (pictures(1, 3, side=32), pictures(1, side=32, seed=1), ["a cat"])
    with_it = published(*inputs, keys=["k"], settings=QUICK)
    without = load_published(copied, batch_size=2)(*inputs, keys=["k"], settings=QUICK)
    assert not (with_it.codes == without.codes).all()


FILES = {
    "visual_tokenizer/eva_vitg_psz14.bin": "blocks.1.attn.v_bias",
    "visual_tokenizer/tokenizer_encoder.bin": "encode_task_layer.0.weight",
    "visual_tokenizer/highres_tokenizer_decoder.bin": "unet_attnpool.k_proj.bias",
    "language_model/pytorch_model-00001-of-00002.bin": "lm_head.weight",
    "llama/adapter_model.bin": "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
    "mask_generator/pytorch_model.bin": "type_embedding.weight",
    "adapter/pytorch_model.bin": "decoder.bias",
    "highres_pixel_decoding/unet/diffusion_pytorch_model.bin": "conv_in.weight",
    "highres_pixel_decoding/vae/diffusion_pytorch_model.bin": "quant_conv.bias",
}


@pytest.mark.parametrize("file", FILES)
def test_a_file_too_few_a_key_too_few_a_key_too_many(copied: Path, file: str) -> None:
    path, key = copied / file, FILES[file]
    whole = path.read_bytes()
    rewrite(path, {key: None})
    location = path.parent if "language_model" in file else path
    with pytest.raises(ModelError, match=rf"missing are {key}") as error:
        load_pipeline(copied)
    assert str(location) in str(error.value)
    path.write_bytes(whole)
    rewrite(path, {"strange.key": torch.ones(1)})
    with pytest.raises(ModelError, match=r"unknown are strange\.key") as error:
        load_pipeline(copied)
    assert str(location) in str(error.value)
    path.unlink()
    with pytest.raises(ModelError, match=str(path.parent)):
        load_pipeline(copied)


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("visual_tokenizer/eva_vitg_psz14.bin", "pos_embed"),
        ("visual_tokenizer/tokenizer_encoder.bin", "quantize.embedding.weight"),
        ("visual_tokenizer/highres_tokenizer_decoder.bin", "unet_proj_2.weight"),
        ("mask_generator/pytorch_model.bin", "position_embedding.pe"),
        ("adapter/pytorch_model.bin", "encoder.weight"),
    ],
)
def test_a_missing_key_that_tells_a_size_is_named_too(copied: Path, file: str, key: str) -> None:
    rewrite(copied / file, {key: None})
    with pytest.raises(ModelError, match=rf"missing are {key}") as error:
        load_pipeline(copied)
    assert str(copied / file) in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("language_model/config.json", "language_model/tokenizer.model"),
        *("llama/adapter_config.json", "highres_pixel_decoding/unet/config.json"),
        *("highres_pixel_decoding/vae/config.json",),
        *("highres_pixel_decoding/scheduler/scheduler_config.json",),
    ],
)
def test_missing_settings_are_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(ModelError, match=name.rpartition("/")[2]):
        load_published(copied)


def test_an_adapter_of_another_width_does_not_fit(copied: Path) -> None:
    """Pigeon's released adapter reads the high-resolution decoder only."""
    visual = copied / "visual_tokenizer"
    low = write_layout(copied.parent / "low", "lowres")
    shutil.copy(low / "visual_tokenizer" / "tokenizer_decoder.bin", visual)
    shutil.copytree(low / "pixel_decoding", copied / "pixel_decoding")
    with pytest.raises(ModelError, match=r"encoder\.weight is \[20, 40\], expected \[20, 24\]"):
        load_published(copied, resolution="lowres")
    assert load_published(copied).config.decoder.pooled


def test_a_vocabulary_that_has_no_room_for_the_codes(copied: Path) -> None:
    path = copied / "language_model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"vocab_size": CODES}))
    with pytest.raises(ModelError, match="do not fit together"):
        load_published(copied)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("language_model/config.json", {"vocab_size": "x"}, "vocab_size"),
        ("language_model/config.json", {"hidden_size": 33}, "hidden size"),
        ("language_model/config.json", {"hidden_act": "nope"}, "nope"),
        ("language_model/config.json", {"model_type": "mistral"}, "not 'llama'"),
        ("llama/adapter_config.json", {"peft_type": "IA3"}, "IA3Config, not LoRA"),
        ("llama/adapter_config.json", {"peft_type": "nope"}, "nope"),
        ("llama/adapter_config.json", {"r": 0}, "positive"),
        ("llama/adapter_config.json", {"r": 8}, r"lora_A\.weight is \[4, 32\], expected \[8, 32\]"),
        ("llama/adapter_config.json", {"target_modules": ["nope"]}, "nope"),
        ("highres_pixel_decoding/unet/config.json", {"down_block_types": ["Nope"]}, "down_block"),
        ("highres_pixel_decoding/unet/config.json", {"block_out_channels": [15, 31]}, "divisible"),
        ("highres_pixel_decoding/unet/config.json", {"layers_per_block": "a"}, "layers_per_block"),
        ("highres_pixel_decoding/vae/config.json", {"latent_channels": 3}, "shapes do not fit"),
        (
            "highres_pixel_decoding/scheduler/scheduler_config.json",
            {"beta_schedule": "nope"},
            "nope",
        ),
    ],
)
def test_settings_that_cannot_be_used_are_errors(
    copied: Path, file: str, change: dict[str, object], message: str
) -> None:
    path = copied / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=message) as error:
        load_published(copied)
    assert str(copied) in str(error.value)


def test_a_damaged_text_tokenizer_is_an_error(copied: Path) -> None:
    (copied / "language_model" / "tokenizer.model").write_bytes(b"no tokenizer")
    with pytest.raises(ModelError, match=r"text tokenizer cannot be used.*language_model"):
        load_published(copied)


def _apart(copied: Path, elsewhere: Path) -> dict[str, Any]:
    for name in ("mask_generator", "adapter", "llama"):
        shutil.move(copied / name, elsewhere / name)
    return {"checkpoint": elsewhere}


def _stage_two(copied: Path, elsewhere: Path) -> dict[str, Any]:
    """Stage 2 saves the policy's adapter only, in a folder of its name."""
    (elsewhere / "llama").mkdir()
    shutil.move(copied / "llama", elsewhere / "llama" / "policy")
    return {"lora": elsewhere / "llama"}


@pytest.mark.parametrize("move", [_apart, _stage_two])
def test_pigeons_checkpoint_may_lie_elsewhere(
    copied: Path,
    tmp_path: Path,
    move: Callable[[Path, Path], dict[str, Any]],
    published: PublishedPipeline,
) -> None:
    elsewhere = tmp_path / "checkpoint-375"
    elsewhere.mkdir()
    options = move(copied, elsewhere)
    with pytest.raises(ModelError, match="missing"):
        load_pipeline(copied)
    found, known = weights(load_published(copied, **options)), weights(published)
    assert all(torch.equal(found[key], tensor) for key, tensor in known.items())


def test_a_folder_that_is_no_model_lists_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="sticker-64"):
        load_pipeline(tmp_path)


def test_our_own_class_refuses_the_published_layout(layout: Path) -> None:
    with pytest.raises(ModelError, match=r"published layout.*load_pipeline"):
        PigeonPipeline.from_pretrained(layout)


def test_the_layout_is_the_published_one(layout: Path, low_layout: Path) -> None:
    names = {str(p.relative_to(layout)) for p in layout.rglob("*") if p.is_file()}
    assert set(FILES) <= names
    low = {str(p.relative_to(low_layout)) for p in low_layout.rglob("*") if p.is_file()}
    assert {"visual_tokenizer/tokenizer_decoder.bin", "pixel_decoding/uncond_embeddings.bin"} <= low
    assert DECODER["lowres"].keys() - DECODER["highres"].keys() == {
        "unet_proj.weight",
        "unet_proj.bias",
    }
