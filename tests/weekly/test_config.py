"""Weekly settings: defaults, bundled and own files, and messages for wrong values."""

from __future__ import annotations

from pathlib import Path

import pytest

from pigeon_rec.config import NightlyGateConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.settings import EvaluationSettings
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


def test_a_night_fills_in_what_the_week_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "night.yaml").write_text(
        "catalogue: items.csv\ninteractions: picks.csv\nscenario: movie\nwork_dir: nights\n"
        "columns: {items: {id: sku}}\nrecommender: {group_by: null}\n"
        "generation: {temperature: 0.9}\ngate: {min_text_score: -1.0}\n",
        "utf-8",
    )
    week = (
        "night: night.yaml\nscenario: book-cover\n"
        "evaluation: {cases: 60, generation: {temperature: 0.5}}"
    )
    config = load_weekly(written(tmp_path, week))
    assert config.catalogue == str(tmp_path / "items.csv")
    assert config.interactions == str(tmp_path / "picks.csv")
    assert (config.work_dir, config.scenario) == (tmp_path / "nights", "book-cover")
    assert (config.columns.items.id, config.group_by) == ("sku", None)
    assert config.evaluation.cases == 60
    assert config.evaluation.generation.temperature == 0.5
    assert config.evaluation.gate.min_text_score == -1.0


def test_a_night_without_limits_leaves_them_to_its_calibration(tmp_path: Path) -> None:
    (tmp_path / "night.yaml").write_text(
        "catalogue: items.csv\ninteractions: picks.csv\ngate: {min_pixel_std: 9.0}\n", "utf-8"
    )
    config = load_weekly(written(tmp_path, "night: night.yaml"))
    assert config.evaluation.gate == NightlyGateConfig(min_pixel_std=9.0)
    # The evaluation takes these settings as they are.
    assert EvaluationSettings(**dict(config.evaluation)).gate.min_text_score == "auto"


def test_paths_are_seen_from_the_file(tmp_path: Path) -> None:
    config = load_weekly(written(tmp_path, "start: models/mine\nwork_dir: var\ntraining: t.yaml"))
    assert config.start == str(tmp_path / "models/mine")
    assert config.training == str(tmp_path / "t.yaml")
    assert config.work_dir == tmp_path / "var"
    named = load_weekly(written(tmp_path, "start: scratch\ntraining: smoke"))
    assert (named.start, named.training) == ("scratch", "smoke")


def test_a_catalogue_needs_its_users(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs `interactions` of its own"):
        load_weekly(written(tmp_path, "catalogue: items.parquet"))
