"""The quality gate in the check of a night: calibrated once, for the night that follows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, NightlyGateConfig, PlanConfig
from pigeon_rec.drawing.gate import read_night_gate
from pigeon_rec.inputs.check import InputCheck, check_inputs
from pigeon_rec.nightly.paths import NightPaths, end_of_day
from pigeon_rec.nightly.plan import plan_night, recommend
from pigeon_rec.nightly.run import check_night
from pigeon_rec.runtime.work_dir import gate_file, warehouse_file
from pigeon_rec.warehouse import open_warehouse, publish
from tests.small_world import NIGHT, write_catalogue, write_interactions
from tests.warehouse.nights import night_of

SCORED = "pictures for the quality gate"
COUNT = 40


class Heard:
    """Remembers the labels of progress."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    def __call__(self, label: str, done: int, total: int, **fields: float) -> None:
        self.labels.append(label)

    def scored(self) -> bool:
        """Whether pictures were scored since the last call."""
        found = SCORED in self.labels
        self.labels.clear()
        return found


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    """Forty coloured squares, and two users who are recommended a square each."""
    items = write_catalogue(tmp_path, COUNT)
    histories = {"ann": [f"i0{n}" for n in range(6)], "bob": [f"i1{n}" for n in range(6)]}
    top = tmp_path / "top.parquet"
    pl.DataFrame(
        {"user_id": ["ann", "bob"], "item_id": ["i30", "i31"], "score": [1.0, 1.0]}
    ).write_parquet(top)
    return NightlyConfig(
        catalogue=str(items),
        interactions=str(write_interactions(tmp_path / "rows.parquet", histories)),
        recommendations=str(top),
        work_dir=tmp_path / "var",
        plan=PlanConfig(max_assets=4, shards=1),
    )


def checked(config: NightlyConfig, heard: Heard) -> InputCheck:
    return check_inputs(config, end_of_day(NIGHT), progress=heard)


def retitle(config: NightlyConfig, word: str) -> None:
    items = pl.read_parquet(config.catalogue)
    items.with_columns(semantics=pl.lit(f"{word} ") + pl.col("item_id")).write_parquet(
        config.catalogue
    )


def test_the_first_night_uses_what_its_check_has_calibrated(config: NightlyConfig) -> None:
    heard = Heard()
    facts = check_night(config, NIGHT, heard)
    assert heard.scored()
    recommend(config, NIGHT)
    plan_night(config, NIGHT, progress=heard)
    assert not heard.scored()
    planned = read_night_gate(NightPaths.of(config, NIGHT).gate, config)
    assert facts["gate"] == {"chosen_by": "calibration"} | planned.summary()
    assert facts["gate"]["pictures"] == COUNT
    assert 0.3 < facts["gate"]["auc"] < 0.7
    assert facts["gate"]["min_text_score"] == -1.0
    assert facts["gate"]["own_texts_pass"] is None


def test_texts_that_tell_nothing_are_a_warning_with_advice(config: NightlyConfig) -> None:
    [warning] = [
        found for found in checked(config, Heard()).findings if "wrong texts" in found.finding
    ]
    assert warning.level == "warning"
    assert "the likeness to the reference is checked instead" in warning.finding
    assert "Train a model on this catalogue" in warning.advice


def test_a_number_of_the_settings_is_compared_with_the_pictures(config: NightlyConfig) -> None:
    gate = NightlyGateConfig(min_text_score=0.9)
    check = checked(config.model_copy(update={"gate": gate}), Heard())
    assert check.gate is not None
    assert (check.gate.chosen_by, check.gate.min_text_score) == ("settings", 0.9)
    assert (check.gate.own_texts_pass, check.gate.wrong_texts_pass) == (0.0, 0.0)
    assert any("at gate.min_text_score 0.9, 0%" in found.finding for found in check.findings)


def test_before_the_first_night_mended_texts_are_scored_anew(config: NightlyConfig) -> None:
    heard = Heard()
    first = checked(config, heard)
    assert heard.scored()
    assert checked(config, heard) == first
    assert not heard.scored()
    retitle(config, "a cat")
    assert checked(config, heard) != first
    assert heard.scored()


def test_pictures_that_were_broken_are_scored_once_they_are_whole(config: NightlyConfig) -> None:
    picture = Path(config.catalogue).parent / "images" / "i20.png"
    whole, heard = picture.read_bytes(), Heard()
    picture.write_bytes(b"broken")
    for wanted, content in ((COUNT - 1, b"broken"), (COUNT, whole)):
        picture.write_bytes(content)
        gate = checked(config, heard).gate
        assert gate is not None
        assert gate.pictures == wanted
    assert heard.scored()
    checked(config, heard)
    assert not heard.scored()


def test_after_the_first_night_only_the_command_changes_limits(config: NightlyConfig) -> None:
    heard = Heard()
    first = checked(config, heard).gate
    with open_warehouse(warehouse_file(config.work_dir)) as connection:
        pass
    retitle(config, "a cat")
    second = checked(config, heard).gate  # a registry alone is no night
    assert second != first
    heard.scored()
    with open_warehouse(warehouse_file(config.work_dir)) as connection:
        publish(connection, night_of([("ann", "i30")], date=NIGHT))
    retitle(config, "a dog")
    assert checked(config, heard).gate == second
    assert not heard.scored()


def test_nothing_is_calibrated_on_inputs_that_must_be_mended(config: NightlyConfig) -> None:
    heard = Heard()
    plan = PlanConfig(min_interactions=9)
    check = checked(config.model_copy(update={"plan": plan}), heard)
    assert [found.level for found in check.findings if "no user has" in found.finding] == ["error"]
    assert check.gate is None
    assert not heard.scored()
    assert not gate_file(config.work_dir).exists()
