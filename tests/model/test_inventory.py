"""Facts read from headers are those of the loaded model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from pigeon_rec.errors import ModelError
from pigeon_rec.model.inventory import Inventory, take_inventory
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.model.published.load import load_published
from pigeon_rec.model.published.pipeline import PublishedPipeline
from pigeon_rec.placement import Placement
from tests.model.published.layout import rewrite, write_layout
from tests.model.tiny import tiny_pipeline


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layout(tmp_path_factory.mktemp("published") / "lavit")


@pytest.fixture(scope="module")
def inventory(layout: Path) -> Inventory:
    return take_inventory(layout)


def resident(pipeline: PigeonPipeline | PublishedPipeline) -> int:
    """Bytes of all weights and buffers of a model, except computed frequencies."""
    tensors = {
        id(tensor): tensor.nbytes
        for part in pipeline.parts().values()
        for name, tensor in (*part.named_parameters(), *part.named_buffers())
        if "inv_freq" not in name
    }
    return sum(tensors.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_memory_is_what_loading_takes(layout: Path, inventory: Inventory, dtype: str) -> None:
    assert (inventory.published, inventory.complete) == (True, True)
    placement = Placement.model_validate({"dtype": dtype})
    loaded = load_published(layout, placement=placement)
    assert inventory.total(dtype) == resident(loaded)


@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_memory_of_quantised_models(layout: Path, inventory: Inventory, bits: str) -> None:
    pytest.importorskip("bitsandbytes")
    placement = Placement.model_validate({"dtype": "bfloat16", "quantisation": bits})
    loaded = load_published(layout, placement=placement)
    # By weight, since a layer and the adapter around it share one.
    weights = {
        id(module.weight): module.weight
        for module in loaded.personalisation.language_model.modules()
        if hasattr(module, "weight")
    }
    scales = 0
    for weight in weights.values():
        state, rows = getattr(weight, "quant_state", None), getattr(weight, "SCB", None)
        scales += 0 if state is None else state.absmax.nbytes
        scales += 0 if rows is None else rows.nbytes
    assert scales > 0
    assert inventory.total(bits) == resident(loaded) + scales


def test_parts_add_up(inventory: Inventory) -> None:
    names = [part.name for part in inventory.parts]
    assert names == [
        *("visual_encoder", "visual_tokenizer", "tokenizer_decoder", "language_model", "lora"),
        *("mask_generator", "adapter", "unet", "vae"),
    ]
    for part in inventory.parts:
        assert part.float32 == 4 * part.parameters
        assert part.stored == ("float32",)
        assert (part.int4 != part.bfloat16) == (part.name == "language_model")


def test_missing_files_and_keys_are_listed_all_at_once(layout: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(layout, tmp_path / "copy"))
    decoder = folder / "visual_tokenizer" / "highres_tokenizer_decoder.bin"
    rewrite(decoder, {"norm.bias": None, "in_proj.bias": None, "strange": torch.ones(1)})
    found = take_inventory(folder)
    (part,) = [part for part in found.parts if part.name == "tokenizer_decoder"]
    assert part.missing == ("in_proj.bias", "norm.bias")
    assert part.unknown == ("strange",)
    assert not found.complete
    gone = ["llama/adapter_config.json", "visual_tokenizer/tokenizer_encoder.bin"]
    gone += ["language_model/pytorch_model-00002-of-00002.bin"]
    for name in gone:
        (folder / name).unlink()
    shutil.rmtree(folder / "adapter")
    found = take_inventory(folder)
    assert set(found.missing) == {str(folder / name) for name in (*gone, "adapter")}
    assert "unet" in {part.name for part in found.parts}


def test_unknown_sizes_are_a_problem(layout: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(layout, tmp_path / "copy"))
    rewrite(folder / "adapter" / "pytorch_model.bin", {"encoder.weight": None})
    found = take_inventory(folder)
    assert found.problem is not None
    assert "missing are encoder.weight" in found.problem
    assert not found.complete


def test_the_bundled_model() -> None:
    found = take_inventory("sticker-64")
    assert (found.published, found.complete) == (False, True)
    loaded = PigeonPipeline.from_pretrained("sticker-64")
    assert found.total("float32") == resident(loaded)
    assert found.total("int8") is None
    stored = sum((found.folder / f"{part.name}.safetensors").stat().st_size for part in found.parts)
    assert {part.stored for part in found.parts} == {("float16",)}
    assert 0 < stored - (found.total("bfloat16") or 0) < 200_000, "headers, and nothing else"


def test_a_saved_model_with_something_missing(tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path)
    assert take_inventory(tmp_path).complete
    (tmp_path / "tokenizer_decoder.safetensors").unlink()
    (tmp_path / "tokenizer.json").unlink()
    found = take_inventory(tmp_path)
    assert {Path(path).name for path in found.missing} == {
        *("tokenizer_decoder.safetensors", "tokenizer.json"),
    }
    (tmp_path / "config.json").write_text(json.dumps({"name": 3}))
    with pytest.raises(ModelError, match=r"config\.json is unusable"):
        take_inventory(tmp_path)
