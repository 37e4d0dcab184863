"""Saved models: their files, what loading them gives, and what damaged ones raise."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pigeon_rec.errors import ModelError
from pigeon_rec.model.loading import load_pipeline
from pigeon_rec.model.pipeline import PigeonOutput, PigeonPipeline, Pipeline
from tests.model.tiny import QUICK, pictures


def draw(pipeline: Pipeline) -> PigeonOutput:
    texts = ["a red apple", "a cat"]
    return pipeline(pictures(2, 3), pictures(2, seed=1), texts, keys=["a", "b"], settings=QUICK)


def test_saved_and_loaded_pictures_are_equal(pipeline: PigeonPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path, dtype=torch.float32)
    loaded = PigeonPipeline.from_pretrained(tmp_path, batch_size=4)
    assert loaded.config == pipeline.config
    images = draw(pipeline).images
    assert np.array_equal(draw(loaded).images, images)
    assert np.array_equal(draw(load_pipeline(tmp_path, batch_size=4)).images, images)


def test_half_precision_loses_once_and_never_again(
    pipeline: PigeonPipeline, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path / "once")
    once = PigeonPipeline.from_pretrained(tmp_path / "once", batch_size=4)
    once.save_pretrained(tmp_path / "twice")
    for path in (tmp_path / "once").iterdir():
        assert path.read_bytes() == (tmp_path / "twice" / path.name).read_bytes()
    twice = PigeonPipeline.from_pretrained(tmp_path / "twice", batch_size=4)
    assert np.array_equal(draw(once).images, draw(twice).images)
    assert next(once.personalisation.parameters()).dtype == torch.float32


def test_a_model_folder_holds_these_files_and_shares_tied_weights(
    pipeline: PigeonPipeline, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md", "config.json", "image_generator.safetensors", "personalisation.safetensors",
        "tokenizer.json", "tokenizer_decoder.safetensors", "visual_tokenizer.safetensors",
    ]  # fmt: skip
    names = load_file(tmp_path / "personalisation.safetensors").keys()
    assert "language_model.model.embed_tokens.weight" in names
    assert "language_model.lm_head.weight" not in names
    loaded = PigeonPipeline.from_pretrained(tmp_path).personalisation.language_model
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight


@pytest.fixture(scope="module")
def saved(pipeline: PigeonPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "saved"
    pipeline.save_pretrained(folder)
    return folder


def no_file(folder: Path) -> None:
    (folder / "tokenizer_decoder.safetensors").unlink()


def half_a_file(folder: Path) -> None:
    path = folder / "tokenizer_decoder.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_sizes(folder: Path) -> None:
    path = folder / "tokenizer_decoder.safetensors"
    weights = load_file(path)
    weights["in_proj.weight"] = weights["in_proj.weight"][:, :4].contiguous()
    save_file(weights, path)


def other_names(folder: Path) -> None:
    path = folder / "tokenizer_decoder.safetensors"
    save_file({f"x.{name}": value for name, value in load_file(path).items()}, path)


@pytest.mark.parametrize("damage", [no_file, half_a_file, other_sizes, other_names])
def test_damaged_weights_are_named(
    saved: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(saved, tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelError, match=r"(?s)cannot be loaded.*tokenizer_decoder\.saf"):
        PigeonPipeline.from_pretrained(folder)


@pytest.mark.parametrize("content", ["", "{}}", '{"depth": 3}', '{"tokenizer": {"width": -1}}'])
def test_a_damaged_configuration_is_an_error(saved: Path, tmp_path: Path, content: str) -> None:
    folder = shutil.copytree(saved, tmp_path / "model")
    (folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json is unusable") as error:
        PigeonPipeline.from_pretrained(folder)
    assert error.value.location == str(folder)


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        PigeonPipeline.from_pretrained("nowhere")
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        load_pipeline("nowhere")
