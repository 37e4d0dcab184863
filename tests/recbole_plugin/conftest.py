"""RecBole runs in a temporary folder, without the test runner's arguments as settings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.recbole_plugin.world import settings, write_world


@dataclass(frozen=True)
class Built:
    """A model with its data, made by RecBole's own functions."""

    config: Any
    dataset: Any
    train: Any
    valid: Any
    test: Any
    model: Any
    trainer: Any


Build = Callable[..., Built]


@pytest.fixture(autouse=True)
def _own_process_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prog"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"recbole\b")
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def looks(tmp_path: Path) -> Path:
    """The folder of the small data set `looks`."""
    return write_world(tmp_path / "dataset")


@pytest.fixture
def build(looks: Path) -> Build:
    """Makes the wrapper, or RecBole's own model, as RecBole's documentation does."""

    def make(base: Any, *, wrapped: bool = True, dataset: str = "looks", **more: Any) -> Built:
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.trainer import Trainer
        from recbole.utils import init_seed

        from pigeon_rec.recbole_plugin import PigeonRecommender
        from pigeon_rec.recbole_plugin.base_models import base_model_class
        from pigeon_rec.recbole_plugin.todays_stack import dok_matrix_update

        model_class = PigeonRecommender if wrapped else base_model_class(base)
        given = settings(looks, base, **more)
        if not wrapped:
            given = {key: value for key, value in given.items() if not key.startswith("pigeon_")}
        config = Config(model=model_class, dataset=dataset, config_dict=given)
        init_seed(config["seed"], config["reproducibility"])
        data = create_dataset(config)
        train, valid, test = data_preparation(config, data)
        init_seed(config["seed"], config["reproducibility"])
        with dok_matrix_update():
            model = model_class(config, train.dataset).to(config["device"])
        return Built(config, data, train, valid, test, model, Trainer(config, model))

    return make
