"""RecBole's `run_recbole` and `load_data_and_model` for the wrapper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from recbole.data import create_dataset, data_preparation
from recbole.utils import init_seed

from pigeon_rec.recbole_plugin.checkpoints import read_checkpoint
from pigeon_rec.recbole_plugin.recommender import PigeonRecommender
from pigeon_rec.recbole_plugin.todays_stack import numpy_1_names
from pigeon_rec.recbole_plugin.validation import choices
from pigeon_rec.runtime.settings import read_mapping

__all__ = ["load_data", "load_pigeon", "read_settings", "run_pigeon_recbole"]


def run_pigeon_recbole(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str | Path] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    saved: bool = True,
    queue: Any = None,
) -> dict[str, Any]:
    """Trains and tests a wrapped model; mirrors `recbole.quick_start.run_recbole`.

    Args:
        model: Base model, such as `SASRec`; by default the configuration's `pigeon_base_model`.
        dataset: Name of the data set.
        config_file_list: RecBole config files.
        config_dict: Settings that override those of the files.
        saved: Write a checkpoint, and test the best epoch instead of the last.
        queue: Receives the result if the process was started by `torch.multiprocessing`.

    Returns:
        RecBole's `best_valid_score`, `valid_score_bigger`, `best_valid_result`, `test_result`; and
        `visuals`, the `WeightChoice` of a learned weight, else `None`.

    Raises:
        ConfigError: A setting is wrong; the message has RecBole's name for it.
    """
    with numpy_1_names():  # ray needs them
        from recbole.quick_start import run_recbole

    settings = dict(config_dict or {})
    if model is not None:
        settings["pigeon_base_model"] = model
    with torch.autograd.set_detect_anomaly(False), choices() as made:
        result: dict[str, Any] = run_recbole(
            model=PigeonRecommender,
            dataset=dataset,
            config_file_list=[str(path) for path in config_file_list or []],
            config_dict=settings,
            saved=saved,
            queue=queue,
        )
    return {**result, "visuals": made[-1] if made else None}


def load_pigeon(path: str | Path) -> tuple[PigeonRecommender, Any, tuple[Any, Any, Any]]:
    """Reads a saved wrapper with its data, as `load_data_and_model` does, without running code.

    The checkpoint's data set must still be at the same path.

    Returns:
        The model in evaluation mode, the whole data set, and its three loaders.

    Raises:
        ModelError: The file is missing or is not a checkpoint of the wrapper.
    """
    state = read_checkpoint(path)
    config = state["config"]
    dataset, loaders = load_data(config)
    model = PigeonRecommender(config, loaders[0].dataset).to(config["device"])
    model.load_state_dict(state["state_dict"])
    model.load_other_parameter(state["other_parameter"])
    return model.eval(), dataset, loaders


def load_data(config: Any) -> tuple[Any, tuple[Any, Any, Any]]:
    """Reads and splits the data set of a configuration; seeds the global generators.

    Returns:
        The whole data set, and the loaders of training, validation and test.
    """
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    loaders = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    return dataset, loaders


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a RecBole config file as a mapping.

    Raises:
        ConfigError: The file is missing or is not a YAML mapping.
    """
    return read_mapping(path, "RecBole config file", "Give a YAML file of RecBole settings")
