"""Image encoders of other libraries, with tiny random weights made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file

from pigeon_rec.errors import ModelError
from pigeon_rec.scoring.image_encoders import ImageEncoder, load_image_encoder
from pigeon_rec.scoring.scorer import load_scorer

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "eos_token_id": 1}
TEXT |= {"num_hidden_layers": 1, "num_attention_heads": 2, "bos_token_id": 0}
PROCESSOR = {
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "size": {"shortest_edge": 32},
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}


@pytest.fixture
def images() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (37, 32, 32, 3), dtype=np.uint8)


def pixels_of(
    images: npt.NDArray[np.uint8], mean: Any = None, deviation: Any = None
) -> torch.Tensor:
    """Normalised pixels, as the encoder must compute them."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean = torch.tensor(mean or PROCESSOR["image_mean"]).view(1, 3, 1, 1)
    deviation = torch.tensor(deviation or PROCESSOR["image_std"]).view(1, 3, 1, 1)
    normalised: torch.Tensor = (pixels - mean) / deviation
    return normalised


def saved(model: Any, folder: Path, processor: dict[str, Any] | None = None) -> Any:
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor or PROCESSOR))
    return model.eval()


def transformers_models() -> dict[str, Any]:
    """Models of the usual layouts, each with a function that gives the expected vectors."""
    import transformers as tf

    vision, pooled = {**SIZES, "intermediate_size": 32}, lambda m, p: m(p).pooler_output
    clip = tf.CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=12)
    siglip = tf.SiglipConfig(text_config=TEXT, vision_config=vision)
    resnet = tf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])
    return {
        "CLIP": (
            lambda: tf.CLIPModel(clip),
            lambda m, p: m.visual_projection(m.vision_model(p).pooler_output),
        ),
        "CLIP's vision tower": (
            lambda: tf.CLIPVisionModelWithProjection(
                tf.CLIPVisionConfig(**vision, projection_dim=12)
            ),
            lambda m, p: m(p).image_embeds,
        ),
        "SigLIP": (
            lambda: tf.SiglipModel(siglip),
            lambda m, p: m.vision_model(p).pooler_output,
        ),
        "DINOv2": (lambda: tf.Dinov2Model(tf.Dinov2Config(**SIZES)), pooled),
        "ViT": (
            lambda: tf.ViTForImageClassification(tf.ViTConfig(**vision)),
            lambda m, p: m.vit(p).last_hidden_state[:, 0],
        ),
        "ResNet": (
            lambda: tf.ResNetModel(resnet),
            lambda m, p: m(p).pooler_output.flatten(1),
        ),
    }


@pytest.mark.parametrize("kind", transformers_models())
def test_folders_of_transformers(kind: str, tmp_path: Path, images: npt.NDArray[np.uint8]) -> None:
    make, expected_of = transformers_models()[kind]
    torch.manual_seed(0)
    model = saved(make(), tmp_path)
    encoder = load_image_encoder(tmp_path)
    assert encoder.image_size == (32, 32)
    assert encoder.encoder_id.startswith("transformers-")
    found = encoder.encode_images(images)
    with torch.no_grad():
        expected = expected_of(model, pixels_of(images))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    # A row does not depend on its batch.
    np.testing.assert_array_equal(encoder.encode_images(images[:1]), found[:1])


def test_preprocessing_is_that_of_transformers(
    tmp_path: Path, images: npt.NDArray[np.uint8]
) -> None:
    from transformers import AutoImageProcessor

    make, _ = transformers_models()["CLIP"]
    model = saved(make(), tmp_path, {**PROCESSOR, "image_processor_type": "CLIPImageProcessor"})
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    pixels = processor(images=list(images), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = model.get_image_features(pixel_values=pixels).pooler_output
    found = load_image_encoder(tmp_path).encode_images(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("processor", "size"),
    [
        ({"size": {"height": 48, "width": 40}}, (48, 40)),
        ({"size": {"shortest_edge": 40}, "do_center_crop": False, "crop_size": 32}, (40, 40)),
        ({"size": 24}, (24, 24)),
        ({}, (32, 32)),  # that of the model
    ],
)
def test_the_size_is_that_of_the_processor(
    processor: dict[str, Any], size: tuple[int, int], tmp_path: Path
) -> None:
    make, _ = transformers_models()["SigLIP"]
    saved(make(), tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    assert load_image_encoder(tmp_path).image_size == size


def test_other_weights_are_another_encoder(tmp_path: Path) -> None:
    make, _ = transformers_models()["DINOv2"]
    names = set()
    for seed in range(2):
        torch.manual_seed(seed)
        saved(make(), tmp_path)
        names.add(load_image_encoder(tmp_path).encoder_id)
    assert len(names) == 2


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    make, _ = transformers_models()["DINOv2"]
    saved(make(), tmp_path)
    file = tmp_path / "model.safetensors"
    state = {name: value for name, value in load_file(file).items() if "layernorm" not in name}
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights are missing: layernorm.bias"):
        load_image_encoder(tmp_path)


def test_our_own_scorer_is_an_encoder(images: npt.NDArray[np.uint8]) -> None:
    scorer, encoder = load_scorer("sticker-64"), load_image_encoder("sticker-64")
    assert (encoder.encoder_id, encoder.image_size) == (scorer.encoder_id, (64, 64))
    expected = scorer.encode_images(images[:2])
    np.testing.assert_array_equal(encoder.encode_images(images[:2]), expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "there is no model 'absent'"),
        ("timm:resnet10t", "cannot be loaded: .*"),
        ("torchvision:resnet18:absent.pth", "cannot be loaded: .*"),
    ],
)
def test_absent_encoders_are_named(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_image_encoder(name)


def classifier(model: Any, folder: Path) -> Path:
    """Random weights of a classifier, as a file."""
    folder.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "w.safetensors")
    return folder / "w.safetensors"


def check(encoder: ImageEncoder, expected: torch.Tensor, images: npt.NDArray[np.uint8]) -> None:
    found = encoder.encode_images(images)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layout", ["timm:NAME:FILE", "folder", "timm:folder"])
def test_models_of_timm(layout: str, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", pretrained=False, num_classes=7).eval()
    mean, deviation = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    weights = classifier(model, tmp_path)
    name = f"timm:resnet10t:{weights}"
    if layout == "timm:NAME:FILE":
        mean, deviation = list(model.pretrained_cfg["mean"]), list(model.pretrained_cfg["std"])
    else:
        weights.rename(tmp_path / "model.safetensors")
        given = {"input_size": [3, 64, 64], "mean": mean, "std": deviation}
        config = {"architecture": "resnet10t", "pretrained_cfg": given, "num_classes": 7}
        (tmp_path / "config.json").write_text(json.dumps(config))
        name = str(tmp_path) if layout == "folder" else f"timm:{tmp_path}"
    encoder = load_image_encoder(name)
    if layout != "timm:NAME:FILE":
        assert encoder.image_size == (64, 64)
    with torch.no_grad():
        maps = model.forward_features(pixels_of(images, mean, deviation))
        check(encoder, model.forward_head(maps, pre_logits=True), images)


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "mobilenet_v3_small"])
def test_models_of_torchvision(name: str, tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models")
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    torch.manual_seed(0)
    model = models.get_model(name, weights=None).eval()
    encoder = load_image_encoder(f"torchvision:{name}:{classifier(model, tmp_path)}")
    assert encoder.image_size == (224, 224)
    inputs: list[torch.Tensor] = []
    last = [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        model(pixels_of(images, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    check(encoder, inputs[0], images)
