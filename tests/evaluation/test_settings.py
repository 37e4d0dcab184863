"""Evaluation settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from pigeon_rec.config import NightlyConfig, NightlyGateConfig, QualityGateConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.settings import EvaluationSettings, load_settings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": ("nothing",)}, "there is no nothing"),
        ({"curves": ("nothing",)}, "there is no nothing"),
        ({"cases": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_bad_settings_stop_before_any_work(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(None, given)


def test_a_night_gives_its_gate_unless_the_file_has_one(tmp_path: Path) -> None:
    night = NightlyConfig(
        gate=NightlyGateConfig(min_pixel_std=9.0), work_dir=tmp_path / "nights", seed=9
    )
    plain = load_settings(None, {}, night)
    assert (plain.gate, plain.work_dir) == (night.gate, night.work_dir)
    assert plain.seed == 0
    path = tmp_path / "settings.yaml"
    path.write_text("gate: {min_text_score: 0.1}\n", encoding="utf-8")
    own = load_settings(path, {}, night)
    assert own.gate == NightlyGateConfig(min_text_score=0.1)
    assert own.work_dir == night.work_dir
    assert load_settings(None, {}).work_dir is None


def test_the_gate_is_that_of_a_night() -> None:
    assert EvaluationSettings().gate == NightlyConfig().gate
    given = EvaluationSettings.model_validate({"gate": QualityGateConfig(min_text_score=0.3)})
    assert given.gate == NightlyGateConfig(min_text_score=0.3)
