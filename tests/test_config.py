"""Nightly settings: defaults, files, and the messages about wrong values."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pigeon_rec.config import NightlyConfig, load_config
from pigeon_rec.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "night.yaml"
    path.write_text(text, "utf-8")
    return path


def test_no_file_and_an_empty_file_give_the_defaults(tmp_path: Path) -> None:
    assert load_config(None) == load_config(written(tmp_path, "")) == NightlyConfig()
    assert load_config(str(written(tmp_path, ""))) == NightlyConfig()


def test_settings_survive_json() -> None:
    config = NightlyConfig(seed=7)
    assert NightlyConfig.model_validate_json(config.model_dump_json()) == config


def test_settings_cannot_change_afterwards() -> None:
    with pytest.raises(ValidationError):
        NightlyConfig().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("plan: {max_assets: 0}", ["plan.max_assets", "received 0", "greater than or equal to 1"]),
        ("generation: {mask_ratios: [1.5]}", ["generation.mask_ratios.0", "received 1.5"]),
        ("generation: {mask_ratios: []}", ["generation.mask_ratios"]),
        ("generation: {image_format: gif}", ["generation.image_format", "'gif'", "webp"]),
        ("plam: {}", ["plam", "Extra inputs"]),
    ],
)
def test_a_wrong_value_names_file_field_value_and_limit(
    tmp_path: Path, text: str, named: list[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert all(words in str(raised.value) for words in [*named, str(path)])
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("text", ["- a list", "plan: {", "just words"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"night\.yaml"):
        load_config(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")
