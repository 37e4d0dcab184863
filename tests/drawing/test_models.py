"""`model: serving`: what a night draws with before, after and between promotions."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from pigeon_rec.config import NightlyConfig, PlanConfig
from pigeon_rec.drawing.models import FALLBACK, chosen_model
from pigeon_rec.errors import ModelError
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.version import model_version
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.nightly.plan import plan_night, recommend
from tests.registered import promoted
from tests.small_world import NIGHT, PixelEncoder, write_catalogue, write_interactions


@pytest.fixture
def config(tmp_path: Path) -> NightlyConfig:
    return NightlyConfig(model="serving", work_dir=tmp_path / "var")


def put(config: NightlyConfig, name: str) -> str:
    """A promoted model of its own, without the weights that planning does not read."""
    return promoted(config.work_dir, name, model_folder(FALLBACK), "*.safetensors")


def test_the_bundled_model_serves_until_one_is_promoted(config: NightlyConfig) -> None:
    model = chosen_model("serving", config.work_dir)
    assert (model.source, model.version) == (FALLBACK, model_version(FALLBACK))
    assert not config.work_dir.exists()


def test_a_named_model_is_taken_whatever_is_promoted(config: NightlyConfig) -> None:
    put(config, "better")
    assert chosen_model(FALLBACK, config.work_dir).source == FALLBACK


def test_the_promoted_model_is_planned_with(config: NightlyConfig, tmp_path: Path) -> None:
    version = put(config, "better")
    items = [f"i{number:02d}" for number in range(6)]
    recommendations = pl.DataFrame({"user_id": ["ada"], "item_id": ["i05"], "score": [1.0]})
    recommendations.write_parquet(tmp_path / "recommendations.parquet")
    night = config.model_copy(
        update={
            "catalogue": str(write_catalogue(tmp_path, 6)),
            "interactions": str(write_interactions(tmp_path / "i.parquet", {"ada": items[:5]})),
            "recommendations": str(tmp_path / "recommendations.parquet"),
            "plan": PlanConfig(shards=1),
        }
    )
    recommend(night, NIGHT)
    plan_night(night, NIGHT, encoder=PixelEncoder())
    before = pl.read_parquet(NightPaths.of(night, NIGHT).plan)
    assert before["model_version"].to_list() == [version]
    newer = put(config, "newer")
    plan_night(night, NIGHT, encoder=PixelEncoder())
    after = pl.read_parquet(NightPaths.of(night, NIGHT).plan)
    assert after["model_version"].to_list() == [newer]
    assert after["asset_key"].to_list() != before["asset_key"].to_list()


def test_a_night_is_drawn_with_the_model_it_was_planned_with(config: NightlyConfig) -> None:
    planned = put(config, "better")
    put(config, "newer")

    def chosen(version: str | None = None) -> str:
        return chosen_model("serving", config.work_dir, version).source

    assert chosen() == str(config.work_dir / "models" / "newer")
    assert chosen(planned) == str(config.work_dir / "models" / "better")
    assert chosen(model_version(FALLBACK)) == FALLBACK
    with pytest.raises(
        ModelError, match=r"'gone-1' of the plan is not registered.*Plan the night again"
    ):
        chosen("gone-1")


def test_weights_that_are_gone_or_changed_stop_the_night(config: NightlyConfig) -> None:
    put(config, "better")
    folder = config.work_dir / "models" / "better"
    (folder / "note.txt").write_text("changed", encoding="utf-8")
    with pytest.raises(ModelError, match="were changed"):
        chosen_model("serving", config.work_dir)
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="are gone"):
        chosen_model("serving", config.work_dir)
