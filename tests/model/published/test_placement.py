"""Published models in other dtypes and on other devices."""

from __future__ import annotations

import gc
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pigeon_rec.errors import ModelError
from pigeon_rec.model.output import PigeonOutput
from pigeon_rec.model.pipeline import PigeonPipeline, Pipeline
from pigeon_rec.model.published.load import load_published
from pigeon_rec.model.published.pipeline import PUBLISHED_GENERATION, PublishedPipeline
from pigeon_rec.placement import Placement
from tests.model.published.layout import rewrite
from tests.model.tiny import QUICK, pictures, tiny_pipeline

SETTINGS = PUBLISHED_GENERATION.model_copy(
    update={"mask_ratios": (0.0, 0.5), "diffusion_steps": 2, "top_k": 8}
)


def drawn(pipeline: Pipeline, first: int = 0, last: int = 3) -> PigeonOutput:
    """Requests `first` to `last` of three."""
    rows = slice(first, last)
    return pipeline(
        pictures(3, 3, side=32)[rows],
        pictures(3, side=32, seed=1)[rows],
        ["a cat", "a red apple", "the sea"][rows],
        keys=["a", "b", "c"][rows],
        settings=SETTINGS,
    )


def size(module: nn.Module) -> int:
    return sum(weight.nbytes for weight in module.parameters())


def spread(pipeline: PublishedPipeline) -> dict[str, nn.Module]:
    unet = pipeline.generator.get_submodule("unet")
    return {"language_model": pipeline.personalisation.language_model.model, "unet": unet}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(published: PublishedPipeline, layout: Path, dtype: str) -> None:
    placement = Placement.model_validate({"dtype": dtype})
    half = load_published(layout, batch_size=2, placement=placement)
    types = {
        name: weight.dtype for part in half.parts().values() for name, weight in
        part.named_parameters()
    }  # fmt: skip
    wanted = getattr(torch, dtype)
    assert {kind for name, kind in types.items() if not name.startswith("vae.")} == {wanted}
    # The settings of SDXL's autoencoder require float32.
    assert {kind for name, kind in types.items() if name.startswith("vae.")} == {torch.float32}
    codes = torch.arange(16).view(1, 16)
    with torch.inference_mode():
        found, known = half.decode(codes).prompt, published.decode(codes).prompt
    assert found.dtype == wanted
    assert (found.float() - known).abs().max() < 0.05 * known.abs().max()
    rendered = half.render(codes.numpy(), ["k"], SETTINGS).astype(float)
    difference = np.abs(rendered - published.render(codes.numpy(), ["k"], SETTINGS))
    assert difference.mean() < 5
    # Codes are choices and may differ; a picture still depends on its own request alone.
    all_three, last = drawn(half), drawn(half, 2)
    assert all_three.images.std() > 1
    assert np.array_equal(all_three.images[2], last.images[0])


def test_budgets_and_offload_change_no_bit(
    published: PublishedPipeline, layout: Path, tmp_path: Path
) -> None:
    moved = sum(size(module) for module in spread(published).values())
    kept = sum(size(part) for part in published.parts().values()) - moved
    placement = Placement(
        memory={"cpu": f"{(kept + moved * 2 // 3) // 1000}KB"}, offload=tmp_path / "offload"
    )
    pipeline = load_published(layout, batch_size=2, placement=placement)
    location = [
        {w.device.type for w in module.parameters()} for module in spread(pipeline).values()
    ]
    assert {"cpu", "meta"} in location, "something is on disk, something in memory"
    assert len(list((tmp_path / "offload").iterdir())) > 0
    found, known = drawn(pipeline), drawn(published)
    assert np.array_equal(found.codes, known.codes)
    assert np.array_equal(found.images, known.images)
    del pipeline
    gc.collect()
    assert list((tmp_path / "offload").iterdir()) == []


def test_roomy_budgets_keep_everything_in_memory(layout: Path) -> None:
    pipeline = load_published(layout, placement=Placement(memory={"cpu": "1GB"}))
    for part in pipeline.parts().values():
        assert {weight.device.type for weight in part.parameters()} == {"cpu"}


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (Placement(memory={"cpu": "1KB"}), "too few for the parts that are not spread"),
        (Placement(device="cuda:99"), r"no device 'cuda:99'.*placement\.device"),
        (Placement(memory={"cuda:99": "1GB"}), "no device 'cuda:99'"),
        (Placement(device="abacus"), "no kind of device 'abacus'"),
    ],
)
def test_what_is_not_possible_is_an_error(layout: Path, placement: Placement, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_published(layout, placement=placement)


def test_without_a_folder_budgets_have_to_hold_everything(
    published: PublishedPipeline, layout: Path
) -> None:
    moved = sum(size(module) for module in spread(published).values())
    kept = sum(size(part) for part in published.parts().values()) - moved
    placement = Placement(memory={"cpu": f"{kept // 1000 + 2}KB"})
    with pytest.raises(ModelError, match=r"no room for .*`offload`"):
        load_published(layout, placement=placement)


def test_quantisation_needs_its_package(layout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> object:
        return None if name == "bitsandbytes" else there(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    with pytest.raises(ModelError, match=r"bitsandbytes.*pigeon-rec\[quantise\]"):
        load_published(layout, placement=Placement(quantisation="int8"))


def check_four_bits(model: nn.Module, known: nn.Module) -> None:
    """Every dequantised weight is near the original."""
    from bitsandbytes.functional import dequantize_4bit

    whole = dict(known.named_parameters())
    checked = 0
    for name, weight in model.named_parameters():
        state = getattr(weight, "quant_state", None)
        if state is not None:
            back = dequantize_4bit(weight.data, state).float()
            likeness = torch.cosine_similarity(back.flatten(), whole[name].flatten(), dim=0)
            assert 0.97 < likeness < 1.0, name
            checked += 1
    assert checked == 2 * 7


@pytest.mark.parametrize(("bits", "kind"), [("int8", torch.int8), ("int4", torch.uint8)])
def test_a_quantised_language_model(
    published: PublishedPipeline, copied: Path, bits: str, kind: torch.dtype
) -> None:
    pytest.importorskip("bitsandbytes")
    placement = Placement.model_validate({"dtype": "bfloat16", "quantisation": bits})
    pipeline = load_published(copied, batch_size=2, placement=placement)
    model = pipeline.personalisation.language_model
    types = {name: weight.dtype for name, weight in model.named_parameters()}
    layers = {n: t for n, t in types.items() if "_proj" in n and ".lora_" not in n}
    assert len(layers) == 2 * 7
    assert set(layers.values()) == {kind}
    rest = {t for n, t in types.items() if n not in layers}
    assert rest == {torch.bfloat16}, "embeddings, norms, the head and the adapter beside them"
    assert sum(".lora_" in name for name in types) == 2 * 2 * 2
    embeds = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(0))
    if bits == "int8":
        with torch.inference_mode():
            found = model(inputs_embeds=embeds.bfloat16()).logits.float()
            known = published.personalisation.language_model(inputs_embeds=embeds).logits
        likeness = torch.cosine_similarity(found.flatten(), known.flatten(), dim=0)
        assert likeness > 0.99
        assert np.array_equal(drawn(pipeline).images[2], drawn(pipeline, 2).images[0])
    else:
        # Layers this narrow cannot be computed in 4 bits on a CPU: a row is less than a block.
        check_four_bits(model, published.personalisation.language_model)
    rewrite(copied / "language_model" / "pytorch_model-00001-of-00002.bin", {"strange": embeds})
    with pytest.raises(ModelError, match="unknown are strange"):
        load_published(copied, placement=placement)


def test_a_model_of_ours_in_other_numbers(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    half = PigeonPipeline.from_pretrained(tmp_path, placement=Placement(dtype="bfloat16"))
    assert {w.dtype for part in half.parts().values() for w in part.parameters()} == {
        torch.bfloat16
    }
    images = half(pictures(1, 2), pictures(1), ["a cat"], keys=["k"], settings=QUICK).images
    assert images.std() > 1
    for refused in (Placement(memory={"cpu": "1GB"}), Placement(quantisation="int8")):
        with pytest.raises(ModelError, match="only a published model"):
            PigeonPipeline.from_pretrained(tmp_path, placement=refused)
