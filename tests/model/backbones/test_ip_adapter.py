"""The folder of a pipeline with an IP-Adapter, and its options."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pigeon_rec.config import BackboneConfig
from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.model.backbones.load import load_backbone
from pigeon_rec.model.backbones.protocol import Images
from tests.model.backbones.test_library_backbones import PICTURES, apart, draw, requests
from tests.model.backbones.tiny import write_sd

QUICK = {"steps": 4, "candidates": 1}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd(tmp_path_factory.mktemp("sd") / "tiny")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    shutil.copytree(saved, tmp_path / "tiny")
    return tmp_path / "tiny"


def drawn(folder: Path, **options: object) -> Images:
    backbone = load_backbone(folder, options=BackboneConfig.model_validate(QUICK | options))
    return draw(backbone, requests("a"))


def test_every_option_changes_the_picture(saved: Path) -> None:
    base = drawn(saved)
    changes = {
        "steps": 8,
        "guidance": 1.0,
        "strength": 0.3,
        "ip_adapter_scale": 0.1,
        "negative_text": "a dog",
    }
    for name, value in changes.items():
        assert apart(base, drawn(saved, **{name: value})) > 0.0, name
    assert len(drawn(saved, candidates=3)[0]) == 3


def test_without_its_scale_the_adapter_sees_no_history(saved: Path) -> None:
    backbone = load_backbone(saved, options=BackboneConfig(**QUICK, ip_adapter_scale=0.0))
    one, other = requests("a"), requests("a", history=2)
    assert np.array_equal(draw(backbone, one), draw(backbone, other))


def test_a_small_strength_keeps_the_reference(saved: Path) -> None:
    kept, changed = drawn(saved, strength=0.25, steps=40), drawn(saved, strength=1.0)
    assert PICTURES.shape[1:] == kept.shape[2:]
    other = load_backbone(saved, options=BackboneConfig(steps=40, strength=0.25, candidates=1))
    asked = requests("a", reference=5)
    # Other references are further apart where more of them is kept.
    near = apart(kept, draw(other, asked))
    loose = load_backbone(saved, options=BackboneConfig(**QUICK, strength=1.0))
    assert near > apart(changed, draw(loose, asked))


def test_weights_as_the_authors_store_them_give_the_same_bytes(folder: Path) -> None:
    before = drawn(folder)
    weights = folder / "ip_adapter" / "ip-adapter_tiny.safetensors"
    nested: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(weights).items():
        part, _, key = name.partition(".")
        nested[part][key] = tensor
    weights.unlink()
    torch.save(nested, folder / "ip_adapter" / "ip-adapter_tiny.bin")
    assert np.array_equal(before, drawn(folder))


@pytest.mark.parametrize("count", [0, 2])
def test_there_must_be_one_file_of_weights(folder: Path, count: int) -> None:
    weights = folder / "ip_adapter" / "ip-adapter_tiny.safetensors"
    if count:
        shutil.copy(weights, weights.with_name("ip-adapter-plus.safetensors"))
    else:
        weights.unlink()
    with pytest.raises(ModelError, match=f"one file .*, and there are {count}"):
        load_backbone(folder)


def test_the_image_encoder_must_be_there(folder: Path) -> None:
    shutil.rmtree(folder / "ip_adapter" / "image_encoder")
    with pytest.raises(ModelError, match="image encoder of the IP-Adapter is missing"):
        load_backbone(folder)


def test_other_pipelines_are_refused(folder: Path) -> None:
    index = folder / "model_index.json"
    facts = json.loads(index.read_text("utf-8")) | {"_class_name": "FluxPipeline"}
    index.write_text(json.dumps(facts), "utf-8")
    with pytest.raises(ModelError, match="'FluxPipeline' are not supported"):
        load_backbone(folder)


def test_a_latent_without_size_is_refused(folder: Path) -> None:
    config = folder / "unet" / "config.json"
    facts = json.loads(config.read_text("utf-8")) | {"sample_size": None}
    config.write_text(json.dumps(facts), "utf-8")
    with pytest.raises(ModelError, match="size of the pictures is not known"):
        load_backbone(folder)


def test_less_than_one_step_is_refused(saved: Path) -> None:
    with pytest.raises(ConfigError, match=r"less than one step.*at least 11 steps"):
        load_backbone(saved, options=BackboneConfig(steps=5, strength=0.1))
