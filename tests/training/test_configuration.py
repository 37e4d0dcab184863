"""Training configurations: bundled ones, files and errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from pigeon_rec.errors import ConfigError
from pigeon_rec.model.parts import untrained_parts
from pigeon_rec.scoring.scorer import ImageTextEncoder
from pigeon_rec.training.configuration import CONFIGS, TrainingConfig, load_training_config
from pigeon_rec.training.recipes import RECIPES
from tests.training.tiny import CONFIG


def test_the_bundled_configuration_has_a_loop_for_every_recipe() -> None:
    config = load_training_config("sticker-64")
    assert config.model.name == "sticker-64"
    assert list(config.loops) == list(RECIPES)


def test_the_larger_configuration_draws_its_size_in_as_many_tokens() -> None:
    small, large = (load_training_config(name) for name in ("sticker-64", "picture-128"))
    assert list(large.loops) == list(RECIPES)
    parts, pixels = untrained_parts(large.model), torch.zeros(1, 3, 128, 128)
    with torch.no_grad():
        codes = parts.tokenizer.encode(pixels)
        decoded = parts.decoder(codes.vectors, codes.ids >= 0)
        assert parts.decoder.preview(decoded).shape == pixels.shape
        noise = torch.zeros(1, *parts.generator.latent_shape)
        assert parts.generator(decoded, noise, 1, 1.0).shape == (1, 128, 128, 3)
        assert ImageTextEncoder(large.scorer).eval().image(pixels).shape == (1, 192)
    assert codes.ids.shape[1] == small.model.tokenizer.patches == 64


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
        ("[]", "must be a mapping of settings"),
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
    with pytest.raises(ConfigError, match=rf"(?s){re.escape(message)}") as refused:
        load_training_config(path)
    assert str(refused.value.location).startswith(str(path))
    if content is None:
        assert all(p.stem in str(refused.value.remedy) for p in CONFIGS.glob("*.yaml"))
