"""What every backbone of a library keeps: the contract of the Protocol, on random weights."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pigeon_rec.config import BackboneConfig, GenerationConfig
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.model.backbones.load import load_backbone
from pigeon_rec.model.backbones.protocol import Backbone, Images, PictureRequests
from pigeon_rec.model.placing import weight_bytes
from pigeon_rec.model.version import model_version
from pigeon_rec.placement import Placement
from tests.model.backbones.tiny import SIDE, write_janus, write_sd, write_sdxl

WRITERS = {"sd": write_sd, "sdxl": write_sdxl, "janus": write_janus}
QUICK = {
    "sd": BackboneConfig(steps=3, strength=0.7, candidates=2),
    "sdxl": BackboneConfig(steps=3, strength=0.7, candidates=2),
    "janus": BackboneConfig(candidates=2),
}
PICTURES = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)


def requests(*keys: str, history: int = 0, reference: int = 4) -> PictureRequests:
    """Requests of two history pictures each; the numbers are those of the first request."""
    rows = np.arange(len(keys))
    return PictureRequests(
        pictures=PICTURES,
        history_rows=np.stack([(rows + history) % 4, (rows + history + 1) % 4], axis=1),
        reference_rows=(rows + reference) % 6,
        targets=[f"a picture of {key[0]}" for key in keys],
        keys=keys,
        scenario=load_prompt("sticker"),
    )


def draw(backbone: Backbone, asked: PictureRequests) -> Images:
    return backbone.draw(asked, GenerationConfig()).images


def apart(one: Images, other: Images) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.fixture(scope="module", params=sorted(WRITERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[kind](tmp_path_factory.mktemp(kind) / "tiny")


@pytest.fixture(scope="module")
def backbone(kind: str, folder: Path) -> Backbone:
    return load_backbone(folder, options=QUICK[kind])


def test_it_says_what_it_is(backbone: Backbone, folder: Path) -> None:
    assert isinstance(backbone, Backbone)
    assert backbone.version == model_version(folder)
    assert (backbone.image_size, backbone.bit_exact) == (SIDE, True)


def test_a_request_gives_the_same_bytes_in_any_batch_and_run(
    backbone: Backbone, kind: str, folder: Path
) -> None:
    three = draw(backbone, requests("a", "b", "c"))
    assert three.shape == (3, 2, SIDE, SIDE, 3)
    alone = requests("b", history=1, reference=5)
    assert np.array_equal(three[1], draw(backbone, alone)[0])
    # Another shard has another table of pictures.
    moved = replace(
        alone,
        pictures=PICTURES[::-1].copy(),
        history_rows=5 - alone.history_rows,
        reference_rows=5 - alone.reference_rows,
    )
    torch.manual_seed(99)
    again = load_backbone(folder, options=QUICK[kind])
    assert np.array_equal(three[1], draw(again, moved)[0])


def test_keys_and_candidates_have_noise_of_their_own(backbone: Backbone) -> None:
    one, two = draw(backbone, requests("a1"))[0], draw(backbone, requests("a2"))[0]
    assert min(apart(one[0], one[1]), apart(one[0], two[0]), apart(one[1], two[1])) > 5.0


def test_others_keep_their_random_numbers_and_log_levels(backbone: Backbone) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    levels = [logging.getLogger(name).level for name in ("diffusers", "transformers")]
    torch.manual_seed(7)
    draw(backbone, requests("a"))
    assert torch.equal(torch.rand(3), expected)
    assert levels == [logging.getLogger(name).level for name in ("diffusers", "transformers")]


def test_history_reference_and_text_decide_as_the_page_says(backbone: Backbone, kind: str) -> None:
    asked = requests("a")
    base = draw(backbone, asked)
    other_history = apart(base, draw(backbone, replace(asked, history_rows=np.array([[2, 3]]))))
    other_reference = apart(base, draw(backbone, replace(asked, reference_rows=np.array([5]))))
    other_text = apart(base, draw(backbone, replace(asked, targets=["another thing"])))
    assert other_text > 0.0
    sees = kind != "janus"
    assert (other_history > 0.0, other_reference > 0.0) == (sees, sees)
    drawn = backbone.draw(asked, GenerationConfig())
    assert drawn.mask_ratio(0, 1) == (0.7 if sees else 1.0)


def test_a_smaller_dtype_draws_nearly_the_same(backbone: Backbone, kind: str, folder: Path) -> None:
    half = load_backbone(folder, Placement(dtype="bfloat16"), QUICK[kind])
    drawn = draw(half, requests("a"))
    assert np.array_equal(drawn, draw(half, requests("a", "b"))[:1])
    if kind != "janus":  # one other token gives another picture
        assert 0.0 < apart(drawn, draw(backbone, requests("a"))) < 8.0


def room_for(backbone: Any, share: float) -> str:
    """A budget with room for a share of the part that is spread, and for all others."""
    if hasattr(backbone, "_model"):
        parts = dict(backbone._model.model.named_children())
        spread = parts.pop("language_model")
    else:
        parts = {n: p for n, p in backbone._pipeline.components.items() if isinstance(p, nn.Module)}
        spread = parts.pop("unet")
    taken = sum(weight_bytes(part, torch.float32) for part in parts.values())
    return f"{(taken + share * weight_bytes(spread, torch.float32)) / 1000:.0f}KB"


@pytest.mark.parametrize("share", [0.05, 0.8])
def test_weights_beyond_the_budget_are_offloaded_and_give_the_same_bytes(
    backbone: Backbone, kind: str, folder: Path, tmp_path: Path, share: float
) -> None:
    memory = {"cpu": room_for(backbone, share)}
    spread = load_backbone(folder, Placement(memory=memory, offload=tmp_path), QUICK[kind])
    assert any(tmp_path.iterdir())
    assert np.array_equal(draw(backbone, requests("a")), draw(spread, requests("a")))
    with pytest.raises(ModelError, match="budgets have no room"):
        load_backbone(folder, Placement(memory=memory), QUICK[kind])


def test_impossible_placements_are_refused(kind: str, folder: Path) -> None:
    with pytest.raises(ModelError, match="quantised"):
        load_backbone(folder, Placement(quantisation="int8"), QUICK[kind])
    with pytest.raises(ModelError, match="no device 'cuda:77'"):
        load_backbone(folder, Placement(device="cuda:77"), QUICK[kind])


def test_options_of_other_kinds_are_refused(kind: str, folder: Path) -> None:
    foreign = BackboneConfig(steps=3) if kind == "janus" else BackboneConfig(temperature=0.5)
    with pytest.raises(ConfigError, match="has no option") as caught:
        load_backbone(folder, options=foreign)
    assert str(caught.value.location).startswith("backbone.")


@pytest.mark.parametrize("fault", ["gone", "cut", "other shape"])
def test_damaged_weights_are_our_error(kind: str, folder: Path, tmp_path: Path, fault: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    name = {"sd": "unet/", "sdxl": "pipeline/unet/", "janus": ""}[kind]
    stem = "model" if kind == "janus" else "diffusion_pytorch_model"
    weights = copy / f"{name}{stem}.safetensors"
    if fault == "gone":
        weights.unlink()
    elif fault == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        save_file({name: w[:1] for name, w in load_file(weights).items()}, weights)
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_backbone(copy)
    assert caught.value.location == str(copy)
