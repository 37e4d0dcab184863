"""Other backbones as baselines of an evaluation: what is missing, refused and drawn."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from pigeon_rec.config import GenerationConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.baselines import (
    baseline_version,
    check_models,
    missing_baselines,
    resized,
)
from pigeon_rec.evaluation.methods import BASELINES, DEFAULT_METHODS, METHODS
from pigeon_rec.evaluation.run import evaluate
from pigeon_rec.evaluation.settings import BaselineConfig, EvaluationSettings, load_settings
from tests.model.backbones.test_own import Mean
from tests.model.backbones.tiny import write_janus, write_sd

QUICK = GenerationConfig(mask_ratios=(0.0,), rendered=1, diffusion_steps=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("backbones")
    return {
        "ip_adapter": str(write_sd(folder / "sd")),
        "janus": str(write_janus(folder / "janus")),
    }


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("shop_draws")
    module.load = lambda _: Mean()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_draws", module)
    return "shop_draws:load"


def test_baselines_are_asked_for_by_name() -> None:
    assert not set(BASELINES) & set(DEFAULT_METHODS)
    assert set(BASELINES) | set(DEFAULT_METHODS) == set(METHODS)
    assert EvaluationSettings().methods == DEFAULT_METHODS


def test_a_baseline_without_model_is_missing(tmp_path: Path) -> None:
    settings = EvaluationSettings(methods=("ip_adapter", "own_backbone"))
    assert missing_baselines(settings)["own_backbone"].endswith("by `--own-backbone`")
    with pytest.raises(ConfigError, match="no method can be evaluated: ip_adapter: give"):
        evaluate(settings, tmp_path)


def test_an_option_names_the_model_and_the_file_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.yaml"
    file.write_text("ip_adapter: {model: ./old, steps: 4}\nmethods: [ip_adapter]\n", "utf-8")
    assert load_settings(file, {}).ip_adapter.model == str(tmp_path / "old")
    found = load_settings(file, {"ip_adapter": "new"}).ip_adapter
    assert (found.model, found.steps) == ("new", 4)


def test_models_of_other_kinds_are_refused(folders: Mapping[str, str], own: str) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"methods": ("janus",), "janus": {"model": folders["ip_adapter"]}}, "kind 'janus'"),
        ({"methods": ("ip_adapter",), "ip_adapter": {"model": own}}, "not 'function'"),
        (
            {"methods": ("janus",), "janus": {"model": folders["janus"], "steps": 3}},
            "no option steps",
        ),
        ({"model": folders["janus"]}, "evaluated model is a backbone"),
    ]
    for values, message in wrong:
        with pytest.raises(ConfigError, match=message):
            check_models(EvaluationSettings.model_validate(values))


def test_options_and_dtype_are_part_of_what_is_kept(folders: Mapping[str, str]) -> None:
    versions = {
        baseline_version(BaselineConfig.model_validate({"model": folders["janus"], **more}))
        for more in ({}, {"guidance": 3.0}, {"placement": {"dtype": "bfloat16"}})
    }
    assert len(versions) == 3


def test_pictures_are_measured_at_one_size() -> None:
    grey = np.full((2, 64, 64, 3), 99, np.uint8)
    assert resized(grey, 64) is grey
    assert np.array_equal(resized(grey, 16), grey[:, :16, :16])


@pytest.mark.slow
def test_baselines_are_drawn_measured_and_kept(
    folders: Mapping[str, str], own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EvaluationSettings.model_validate(
        {
            "cases": 2,
            "methods": ("unchanged", "full", *BASELINES),
            "ip_adapter": {"model": folders["ip_adapter"], "steps": 2, "candidates": 2},
            "janus": {"model": folders["janus"], "candidates": 1},
            "own_backbone": {"model": own},
            "generation": QUICK,
            "resamples": 100,
        }
    )
    found = evaluate(settings, tmp_path)
    counts = found.per_case.filter(pl.col("metric") == "cs")["method"].value_counts()
    assert dict(counts.iter_rows()) == dict.fromkeys(("unchanged", "full", *BASELINES), 2)
    assert found.summary["methods"]["ip_adapter"]["label"] == "IP-Adapter"
    assert set(found.summary["differences"]) == {"unchanged", *BASELINES}
    rejected = found.per_case.filter(metric="rejected", method="janus")["value"]
    assert len(rejected) == 2
    chosen = [
        pl.read_parquet(tmp_path / f"chosen/{name}.parquet")["image"][0]
        for name in ("full", *BASELINES)
    ]
    assert len(set(chosen)) == 4

    def refuse(*_: object) -> None:
        raise AssertionError("a picture was drawn again")

    monkeypatch.setattr("pigeon_rec.evaluation.candidates.CandidateStore._rendered", refuse)
    assert evaluate(settings, tmp_path).summary == found.summary
