"""Every published key is mapped or unused; missing and unknown keys are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pigeon_rec.errors import ModelError
from pigeon_rec.model.published.folder import PublishedFolder
from pigeon_rec.model.published.key_maps import KEY_MAPS, OWN
from pigeon_rec.model.published.parts import PublishedParts, add_lora, build_parts
from pigeon_rec.model.published.sizes import measure
from pigeon_rec.model.published.weight_files import WeightFiles

PARTS = [
    *("visual_encoder", "visual_tokenizer", "tokenizer_decoder", "language_model"),
    *("lora", "mask_generator", "adapter", "unet", "vae"),
]
NOT_NEEDED = {
    "visual_encoder": {"head.weight", "head.bias"},
    "visual_tokenizer": {"vit_proj.weight", "vit_proj.bias"},
    "language_model": {f"model.layers.{i}.self_attn.rotary_emb.inv_freq" for i in range(2)},
}


class World:
    """Both resolutions: files, and what our modules expect, on the meta device."""

    def __init__(self, root: Path) -> None:
        folder = PublishedFolder.find(root)
        self.resolution = folder.resolution
        self.files: dict[str, WeightFiles] = folder.files()
        sizes = measure(folder, self.files)
        self.parts: PublishedParts = build_parts(sizes)
        self._expected = {k: m.state_dict() for k, m in self.parts.by_file().items()}
        add_lora(self.parts.personalisation.language_model, sizes.lora)
        self._expected["lora"] = {
            k: w
            for k, w in self.parts.personalisation.language_model.state_dict().items()
            if ".lora_" in k
        }

    def expected(self, part: str) -> dict[str, Tensor]:
        own = OWN.get(part)
        return {
            k: w
            for k, w in self._expected[part].items()
            if own is None or not k.startswith("encoder.")
        }

    def weights(self, part: str, published: dict[str, Tensor]) -> dict[str, Tensor]:
        key_map = KEY_MAPS.get(f"{part}/{self.resolution}", KEY_MAPS[part])
        return key_map.weights(self.expected(part), published, "FILE")


@pytest.fixture(scope="module")
def high(layout: Path) -> World:
    return World(layout)


@pytest.fixture(scope="module")
def worlds(high: World, low_layout: Path) -> dict[str, World]:
    return {"highres": high, "lowres": World(low_layout)}


@pytest.mark.parametrize("resolution", ["highres", "lowres"])
@pytest.mark.parametrize("part", PARTS)
def test_every_key_is_taken_and_every_weight_is_given(
    worlds: dict[str, World], part: str, resolution: str
) -> None:
    world = worlds[resolution]
    headers = world.files[part].headers()
    weights = world.weights(part, headers)
    assert weights.keys() == world.expected(part).keys()
    # Every key is read exactly once; only the missing bias of attention keys is filled in.
    read = sum(w.numel() for k, w in headers.items() if k not in NOT_NEEDED.get(part, ()))
    zeros = 32 * 3 if part == "visual_encoder" else 0
    assert sum(w.numel() for w in weights.values()) == read + zeros


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_key_is_named_whichever_it_is(high: World, part: str) -> None:
    headers = high.files[part].headers()
    for key in headers.keys() - NOT_NEEDED.get(part, set()):
        rest = {k: w for k, w in headers.items() if k != key}
        with pytest.raises(ModelError) as error:
            high.weights(part, rest)
        assert f"missing are {key}" in str(error.value), key
        assert "FILE" in str(error.value)


@pytest.mark.parametrize("part", PARTS)
def test_an_extra_key_is_named(high: World, part: str) -> None:
    headers = high.files[part].headers() | {"blocks.99.strange": torch.empty(1, device="meta")}
    with pytest.raises(ModelError, match=r"unknown are blocks\.99\.strange"):
        high.weights(part, headers)


@pytest.mark.parametrize("part", PARTS)
def test_a_shape_that_differs_is_named_whichever_it_is(high: World, part: str) -> None:
    headers = high.files[part].headers()
    for key in headers.keys() - NOT_NEEDED.get(part, set()):
        longer = [*headers[key].shape[:-1], headers[key].shape[-1] + 1]
        with pytest.raises(ModelError) as error:
            high.weights(part, headers | {key: torch.empty(longer, device="meta")})
        assert key in str(error.value)
        assert "expected" in str(error.value)


@pytest.mark.parametrize("part", NOT_NEEDED)
def test_what_pigeon_does_not_use_may_be_missing(high: World, part: str) -> None:
    headers = high.files[part].headers()
    rest = {k: w for k, w in headers.items() if k not in NOT_NEEDED[part]}
    assert len(rest) == len(headers) - len(NOT_NEEDED[part])
    assert high.weights(part, rest).keys() == high.expected(part).keys()


def test_an_encoder_kept_beside_the_tokenizer_is_left_alone(high: World) -> None:
    headers = high.files["visual_tokenizer"].headers()
    again = {f"encoder.{k}": w for k, w in high.files["visual_encoder"].headers().items()}
    weights = high.weights("visual_tokenizer", headers | again)
    assert weights.keys() == high.expected("visual_tokenizer").keys()


def test_older_names_of_an_autoencoders_attention(high: World) -> None:
    headers = high.files["vae"].headers()
    older = {
        k.replace(".to_q.", ".query.")
        .replace(".to_k.", ".key.")
        .replace(".to_v.", ".value.")
        .replace(".to_out.0.", ".proj_attn."): w
        for k, w in headers.items()
    }
    assert len(older.keys() - headers.keys()) == 16
    assert high.weights("vae", older).keys() == high.expected("vae").keys()


def test_joined_biases_stand_in_their_order(high: World) -> None:
    drawn = {k: torch.randn(w.shape) for k, w in high.files["visual_encoder"].headers().items()}
    weights = high.weights("visual_encoder", drawn)
    query, key, value = weights["vision.encoder.layers.1.self_attn.qkv.bias"].chunk(3)
    assert torch.equal(query, drawn["blocks.1.attn.q_bias"])
    assert key.abs().max() == 0
    assert torch.equal(value, drawn["blocks.1.attn.v_bias"])
