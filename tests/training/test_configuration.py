"""Training configurations: bundled ones, files and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pigeon_rec.errors import ConfigError
from pigeon_rec.training.configuration import CONFIGS, TrainingConfig, load_training_config
from pigeon_rec.training.recipes import RECIPES
from tests.training.tiny import CONFIG


def test_the_bundled_configuration_has_a_loop_for_every_recipe() -> None:
    config = load_training_config("sticker-64")
    assert config.model.name == "sticker-64"
    assert list(config.loops) == list(RECIPES)


def test_a_configuration_can_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(CONFIG.model_dump(mode="json")), encoding="utf-8")
    assert load_training_config(path) == CONFIG == load_training_config(str(path))
    assert TrainingConfig.model_validate(CONFIG.model_dump()) == CONFIG


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("loops: [", "while parsing"),
        ("[]", "valid dictionary"),
        ("loops: {tokenizer: {steps: 0, batch_size: 1, learning_rate: 1}}", "tokenizer.steps"),
        ("{loops: {}, model: {colour: red}}", "model.colour"),
        ("{loops: {}, model: {tokenizer: {patch_size: 5}}}", "patch_size 5 must divide"),
    ],
)
def test_an_unusable_configuration_is_refused(
    tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"(?s)training configuration is unusable") as refused:
        load_training_config(path)
    assert message in str(refused.value)
    assert refused.value.location == str(path)
    assert all(p.stem in str(refused.value.remedy) for p in CONFIGS.glob("*.yaml"))
