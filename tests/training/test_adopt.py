"""Parts of a finished model, copied into a training folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pigeon_rec.errors import ModelError, TrainingError
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.digests import folder_sha256, weights_sha256
from pigeon_rec.scoring.scorer import load_scorer
from pigeon_rec.training.adopt import PARTS, adopt
from pigeon_rec.training.bundle import bundle
from pigeon_rec.training.configuration import load_training_config
from tests.training.tiny import CONFIG


def test_bundling_adopted_parts_gives_the_same_files(model: Path, tmp_path: Path) -> None:
    paths = adopt(model, CONFIG, tmp_path / "parts")
    assert paths == [tmp_path / "parts" / name / "model.safetensors" for name in PARTS]
    bundle(CONFIG, tmp_path / "parts", tmp_path / "tiny")
    assert weights_sha256(tmp_path / "tiny") == weights_sha256(model)


@pytest.mark.slow
def test_bundling_the_bundled_models_parts_gives_the_same_version(tmp_path: Path) -> None:
    config = load_training_config("sticker-64").model_copy(
        update={
            "model": PigeonConfig.load(model_folder("sticker-64")),
            "scorer": load_scorer("sticker-64").module.config,
        }
    )
    adopt("sticker-64", config, tmp_path / "parts")
    bundle(config, tmp_path / "parts", tmp_path / "sticker-64")
    assert model_version(tmp_path / "sticker-64") == model_version("sticker-64")


def test_parts_of_other_sizes_are_refused_unless_omitted(model: Path, tmp_path: Path) -> None:
    scorer = CONFIG.scorer.model_copy(update={"embedding": 24})
    config = CONFIG.model_copy(update={"scorer": scorer})
    with pytest.raises(TrainingError, match="differs from the training configuration in scorer"):
        adopt(model, config, tmp_path / "parts")
    assert not (tmp_path / "parts").exists()
    adopt(model, config, tmp_path / "parts", ["tokenizer", "renderer"])
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "renderer",
        "tokenizer",
        "tokenizer.json",
    ]


def test_a_trained_recipe_is_not_replaced(model: Path, trained: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(trained, runs)
    before = folder_sha256(runs)
    with pytest.raises(TrainingError, match="'scorer' has already been trained here"):
        adopt(model, CONFIG, runs, ["scorer"])
    with pytest.raises(TrainingError, match="holds no weights of the recipe 'align'"):
        adopt(model, CONFIG, runs, ["align"])
    assert folder_sha256(runs) == before


def test_a_damaged_model_leaves_no_files(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    (copy / "image_generator.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="weights cannot be loaded"):
        adopt(copy, CONFIG, tmp_path / "runs", ["renderer"])
    assert not (tmp_path / "runs").exists()
