"""RecBole finds the wrapper by name; wrong settings are reported in RecBole's terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recbole.config import Config
from recbole.quick_start import objective_function, run_recbole
from recbole.utils import InputType, ModelType, get_model

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin import PigeonRecommender, run_pigeon_recbole
from tests.recbole_plugin.world import CONVENTIONS, settings


def configure(folder: Path, base: str = "BPR", **more: Any) -> Config:
    given = settings(folder, base, **more)
    return Config(model=PigeonRecommender, dataset="looks", config_dict=given)


def test_recbole_knows_the_wrapper_by_name() -> None:
    assert get_model("PigeonRecommender") is PigeonRecommender


def test_a_config_has_the_defaults_of_the_base(looks: Path) -> None:
    config = configure(looks, "SASRec")
    assert config["MODEL_TYPE"] == ModelType.SEQUENTIAL
    assert config["n_heads"] == 2  # the value in RecBole's SASRec.yaml
    assert config["pigeon_half_life"] is None
    assert configure(looks, "NeuMF")["MODEL_INPUT_TYPE"] == InputType.POINTWISE


def test_a_config_of_another_model_is_unchanged(looks: Path) -> None:
    config = Config(model="BPR", dataset="looks", config_dict={"data_path": str(looks)})
    assert config["additional_feat_suffix"] is None
    assert "pigeon_base_model" not in config


def test_item_vectors_beside_the_data_are_found(looks: Path) -> None:
    path = looks / "looks" / "looks.visual"
    assert configure(looks)["pigeon_features"] == str(path)
    path.unlink()
    assert configure(looks)["pigeon_features"] is None


@pytest.mark.parametrize("base", ["BPR", "SASRec"])
def test_recboles_quick_start_runs_it(base: str, looks: Path) -> None:
    given = settings(looks, base)
    mine = run_pigeon_recbole(base, "looks", config_dict=given)
    assert set(mine) == {
        "best_valid_score",
        "valid_score_bigger",
        "best_valid_result",
        "test_result",
        "visuals",
    }
    theirs = run_recbole(model="PigeonRecommender", dataset="looks", config_dict=given)
    assert mine["test_result"] == theirs["test_result"]


def test_hyper_parameter_tuning_can_try_weights(
    looks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[dict[str, float]] = []
    monkeypatch.setattr(
        "recbole.quick_start.quick_start.tune.report", lambda **result: results.append(result)
    )
    for weight in (0.0, 3.0):
        given = settings(looks, "BPR", pigeon_visual_weight=weight)
        result = objective_function(
            {**given, "model": "PigeonRecommender", "dataset": "looks"}, saved=False
        )
        assert result["model"] == "PigeonRecommender"
    assert results[1]["ndcg@10"] > results[0]["ndcg@10"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pigeon_base_model": "LihgtGCN"}, "Did you mean RecBole's LightGCN"),
        ({"pigeon_base_model": "sasrec"}, "no model 'sasrec'.*Did you mean RecBole's SASRec"),
        ({"pigeon_base_model": "FM"}, "FM is a context model"),
        ({"pigeon_base_model": "MultiVAE"}, "data loader or trainer of its own"),
        ({"pigeon_base_model": 3}, "pigeon_base_model must be a non-empty string, received 3"),
        ({"pigeon_visual_weight": -1}, "pigeon_visual_weight must be a number of at least 0"),
        ({"pigeon_visual_weight": "much"}, "or 'learned', received 'much'"),
        ({"pigeon_neighbours": 0}, "pigeon_neighbours must be a whole number"),
        ({"pigeon_half_life": 0}, "pigeon_half_life must be a number above 0"),
        ({"pigeon_wieght": 1}, r"unknown pigeon_\* settings: pigeon_wieght"),
        (
            {**CONVENTIONS, "additional_feat_suffix": ["visuals"]},
            r"additional feature file .*looks.visuals\] not found.*additional_feat_suffix",
        ),
        ({**CONVENTIONS, "preload_weight": {"x": "y"}}, "preload_weight has no .visual_item_id"),
        ({**CONVENTIONS, "alias_of_item_id": None}, "alias_of_item_id has no .visual_item_id"),
        (
            {**CONVENTIONS, "load_col": {"inter": ["user_id", "item_id"]}},
            r"load_col does not load \[visual_item_id, visual_vector\]",
        ),
    ],
)
def test_wrong_settings_are_named(more: dict[str, Any], message: str, looks: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(looks, **more)


def test_a_missing_feature_file_is_an_error(looks: Path) -> None:
    (looks / "looks" / "looks.visual").unlink()
    with pytest.raises(ConfigError, match=r"looks.visual\] not found.*pigeon-rec recbole features"):
        configure(looks, **CONVENTIONS)
