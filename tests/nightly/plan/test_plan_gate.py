"""The quality gate of a planned night: calibrated limits are part of its keys and of its files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pigeon_rec.config import NightlyConfig, NightlyGateConfig, QualityGateConfig
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing.gate import read_night_gate
from pigeon_rec.drawing.keys import settings_hash
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import plan_night, recommend
from pigeon_rec.nightly.publish import promote_night, publish_night
from pigeon_rec.nightly.report import report_night
from pigeon_rec.warehouse import ask
from tests.drawing.test_gate import Reader
from tests.nightly.made_night import NIGHT as MADE
from tests.nightly.made_night import small_night
from tests.nightly.made_night import write_catalogue as write_styles
from tests.nightly.plan.plans import planned
from tests.small_world import NIGHT, write_catalogue


@pytest.fixture
def large(config: NightlyConfig) -> NightlyConfig:
    """Enough items to calibrate on."""
    write_catalogue(Path(config.catalogue).parent, 40)
    return config


def hash_planned(config: NightlyConfig, *, literate: bool = True) -> str:
    recommend(config, NIGHT)
    plan_night(config, NIGHT, encoder=Reader(literate=literate), model_version="m")
    [found] = planned(config)["settings_hash"].unique()
    return str(found)


def test_the_keys_are_of_the_calibrated_limits(large: NightlyConfig) -> None:
    found = hash_planned(large)
    gate = read_night_gate(NightPaths.of(large, NIGHT).gate, large)
    assert gate.limits.min_text_score > 0.9
    prompt = load_prompt("sticker")
    assert found == settings_hash(large, prompt, gate.limits)
    # Whoever sets the same number by hand has the same keys.
    by_hand = large.model_copy(update={"gate": NightlyGateConfig.model_validate(gate.limits)})
    assert hash_planned(by_hand) == found
    assert found != settings_hash(large, prompt, QualityGateConfig())


def test_planning_again_keeps_the_limits(large: NightlyConfig) -> None:
    first = hash_planned(large)
    write_catalogue(Path(large.catalogue).parent, 50)
    assert hash_planned(large) == first


def test_a_new_kind_of_limit_enters_the_keys_only_where_it_is_set(large: NightlyConfig) -> None:
    limits = QualityGateConfig(min_text_score=-1.0)
    found = hash_planned(large, literate=False)
    prompt = load_prompt("sticker")
    assert found != settings_hash(large, prompt, limits)
    likeness = read_night_gate(NightPaths.of(large, NIGHT).gate, large).limits
    assert likeness.min_reference_likeness is not None
    assert found == settings_hash(large, prompt, likeness)


def test_a_published_night_has_the_limits_and_its_report_the_warnings(tmp_path: Path) -> None:
    config = NightlyConfig(
        work_dir=tmp_path / "var", catalogue=str(write_styles(tmp_path / "catalogue")), seed=7
    )
    paths = small_night().write(config)
    limits = QualityGateConfig(min_text_score=-1.0, min_reference_likeness=0.4)
    calibration = {
        "pictures": 100,
        "auc": 0.52,
        "min_text_score": -1.0,
        "min_reference_likeness": 0.4,
        "own": [place / 100 - 0.5 for place in range(101)],
        "other": [place / 100 - 0.5 for place in range(101)],
    }
    facts = {"limits": limits.model_dump(mode="json"), "calibration": calibration, "left": 1.0}
    paths.gate.write_text(json.dumps(facts), encoding="utf-8")
    publish_night(config, MADE)
    promote_night(config)
    summary = report_night(config, MADE)
    [stored] = ask(paths.warehouse, "SELECT config::VARCHAR FROM runs").rows()
    assert json.loads(str(stored[0]))["gate"] == limits.model_dump(mode="json")
    [warning] = summary.warnings
    assert (
        "(AUC 0.52, where 0.5 is chance; at a limit that 95% of the pictures pass, 95%" in warning
    )
    assert warning in summary.gallery.read_text(encoding="utf-8")
    numbers = json.loads(summary.report.read_text(encoding="utf-8"))
    assert numbers["gate"] == facts
