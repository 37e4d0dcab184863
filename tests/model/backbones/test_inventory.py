"""What `model info` says of backbones of libraries: read from files, no weights loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pigeon_rec.model.backbones.load import load_backbone
from pigeon_rec.model.inventory import take_inventory
from tests.model.backbones.tiny import SIDE, write_janus, write_sd, write_sdxl


@pytest.mark.parametrize("write", [write_sd, write_sdxl])
def test_parameters_are_those_of_the_loaded_pipeline(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    found = take_inventory(write(tmp_path / "tiny"))
    assert (found.kind, found.image_size, found.complete) == ("ip_adapter", SIDE, True)
    loaded = load_backbone(tmp_path / "tiny")
    parts = loaded._pipeline.components.values()  # type: ignore[attr-defined]
    modules = [part for part in parts if isinstance(part, nn.Module)]
    weights = sum(weight.numel() for part in modules for weight in part.parameters())
    assert found.total("parameters") == weights
    assert found.total("float32") == 2 * (found.total("bfloat16") or 0) == 4 * weights


def test_a_janus_model_is_one_part(tmp_path: Path) -> None:
    found = take_inventory(write_janus(tmp_path / "tiny"))
    stored = load_file(tmp_path / "tiny" / "model.safetensors")
    assert (found.kind, found.image_size, found.complete) == ("janus", SIDE, True)
    assert found.total("parameters") == sum(weight.numel() for weight in stored.values())
    assert dict(found.options) == {"candidates": 2, "guidance": 5.0, "temperature": 1.0}


def test_the_authors_adapter_is_read(tmp_path: Path) -> None:
    folder = write_sd(tmp_path / "tiny")
    before = take_inventory(folder)
    weights = folder / "ip_adapter" / "ip-adapter_tiny.safetensors"
    nested: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(weights).items():
        part, _, key = name.partition(".")
        nested[part][key] = tensor
    weights.unlink()
    torch.save(nested, weights.with_suffix(".bin"))
    assert take_inventory(folder).parts == before.parts


@pytest.mark.parametrize("fault", ["weights", "adapter", "cut"])
def test_what_is_missing_or_damaged_is_listed(tmp_path: Path, fault: str) -> None:
    folder = write_sd(tmp_path / "tiny")
    if fault == "weights":
        (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    elif fault == "adapter":
        shutil.rmtree(folder / "ip_adapter")
    else:
        (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"12345678901234")
    found = take_inventory(folder)
    assert not found.complete
    if fault == "weights":
        assert found.missing == (str(folder / "unet"),)
    else:
        expected = {"adapter": "one file of an IP-Adapter", "cut": "cannot be read"}[fault]
        assert expected in str(found.problem)
