"""An alignment of a tiny model, trained once for all tests of this folder."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
import torch

from pigeon_rec.training import recipes
from pigeon_rec.weekly.config import PromotionRules, WeeklyConfig
from pigeon_rec.weekly.prepare import prepare
from pigeon_rec.weekly.stages import bundle, pairs, prefer, reconstruct
from tests.training.tiny import CONFIG, handful

SUNDAY = dt.date(2026, 6, 7)


@pytest.fixture(autouse=True)
def _small_world(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(recipes, "load_artwork", handful)


@pytest.fixture(scope="session")
def training_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny training configuration as a file; JSON is YAML."""
    path = tmp_path_factory.mktemp("training") / "tiny.yaml"
    path.write_text(CONFIG.model_dump_json(), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(training_file: Path, tmp_path_factory: pytest.TempPathFactory) -> WeeklyConfig:
    """A tiny alignment from scratch, up to its bundle; tests only read it."""
    config = WeeklyConfig(
        training=str(training_file),
        start="scratch",
        work_dir=tmp_path_factory.mktemp("trained") / "var",
    )
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "load_artwork", handful)
        for step in (prepare, reconstruct, pairs, prefer, bundle):
            step(config, SUNDAY)
    return config


@pytest.fixture
def alignment(trained: WeeklyConfig, tmp_path: Path) -> WeeklyConfig:
    """A copy of it that a test may change, with rules for measurements of `history` and `text`."""
    shutil.copytree(trained.work_dir, tmp_path / "var")
    rules = PromotionRules(improve={"history": 0.0}, keep={"text": 0.01}, min_cases=10)
    return trained.model_copy(update={"work_dir": tmp_path / "var", "promotion_check": rules})
