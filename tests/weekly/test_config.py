"""Weekly settings: defaults, bundled and own files, and messages for wrong values."""

from __future__ import annotations

from pathlib import Path

import pytest

from pigeon_rec.errors import ConfigError
from pigeon_rec.weekly.config import CONFIGS, WeeklyConfig, load_weekly


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "week.yaml"
    path.write_text(text, "utf-8")
    return path


def test_no_file_and_an_empty_file_give_the_defaults(tmp_path: Path) -> None:
    assert load_weekly(None) == load_weekly(written(tmp_path, "")) == WeeklyConfig()


def test_settings_survive_json() -> None:
    config = WeeklyConfig(start="scratch")
    assert WeeklyConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("name", sorted(file.stem for file in CONFIGS.glob("*.yaml")))
def test_bundled_files_are_found_by_name_and_valid(name: str) -> None:
    from pigeon_rec.training.recipes import load_training_config

    config = load_weekly(name)
    assert {"reconstruct", "align"} <= load_training_config(config.training).loops.keys()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("promotion_check: {confidence: 1.0}", ["promotion_check.confidence", "received 1.0"]),
        ("promotion_check: {improve: {}}", ["promotion_check.improve", "at least 1"]),
        ("promotion_check: {improve: {cs: -0.1}}", ["promotion_check.improve.cs", "received -0.1"]),
        (
            "promotion_check: {improve: {cs: 0}, keep: {cs: 0}}",
            ["either improves or is kept", "cs"],
        ),
        ("promotion_check: {resamples: 10}", ["promotion_check.resamples", "200"]),
        ("promotion_check: {min_cases: 500}", ["min_cases 500", "evaluation.cases 400"]),
        ("plam: smoke", ["plam", "Extra inputs"]),
    ],
)
def test_a_wrong_value_names_file_field_value_and_limit(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load_weekly(path)
    assert all(word in str(raised.value) for word in [*words, str(path), "WeeklyConfig"])


def test_a_missing_file_is_reported_with_the_bundled_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"week\.yaml.*bundled one: .*smoke"):
        load_weekly(tmp_path / "week.yaml")
