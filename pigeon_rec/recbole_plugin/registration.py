"""Registers `PigeonRecommender` with RecBole.

RecBole finds a model's module and defaults by the model's name, in its own folders, and a model
class has one fixed type. The wrapper has the type and the defaults of the model it wraps. Importing
it therefore adds four things to RecBole, none of which affects other models:

- the wrapper's module under the name that RecBole imports: `load_data_and_model`, hyper-parameter
  tuning and `run_recbole(model="PigeonRecommender")` then find it;
- the defaults, model type and input type of the base model, in a `Config` of the wrapper;
- no item that a data set's filters have removed, if RecBole loads the feature file (see
  `item_vectors`);
- checkpoints of plain values (see `checkpoints`), when a trainer saves the wrapper.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any, Final

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.trainer import Trainer

from pigeon_rec.recbole_plugin.base_models import base_model_class
from pigeon_rec.recbole_plugin.checkpoints import restore_config, save_checkpoint
from pigeon_rec.recbole_plugin.item_vectors import drop_filtered_items, find_features
from pigeon_rec.recbole_plugin.settings import PigeonSettings, default_settings

__all__ = ["register"]

_MODULE: Final = "recbole.model.general_recommender.{}"


def register(wrapper: type[Any], module: ModuleType) -> None:
    """Adds the wrapper to RecBole; a second call has no effect."""
    sys.modules[_MODULE.format(wrapper.__name__.lower())] = module
    torch.serialization.add_safe_globals([restore_config])
    _wrap_once(Config, "_load_internal_config_dict", _defaults_of_base(wrapper))
    _wrap_once(Dataset, "_remap_ID_all", _without_filtered_items)
    _wrap_once(Trainer, "_save_checkpoint", _plain_checkpoint(wrapper))


def _wrap_once(owner: type[Any], name: str, around: Any) -> None:
    original = getattr(owner, name)
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(original, self, *args, **kwargs)

    setattr(owner, name, method)


def _defaults_of_base(wrapper: type[Any]) -> Any:
    def load(original: Any, config: Any, model: str, model_class: Any, dataset: str) -> None:
        if model_class is not wrapper:
            return original(config, model, model_class, dataset)
        given = config.external_config_dict
        settings = PigeonSettings.of(given)
        base = base_model_class(settings.base_model)
        original(config, base.__name__, base, dataset)
        config.internal_config_dict.update(default_settings())
        config.model_class = base  # RecBole takes the input type from it
        found = find_features(config, settings, dataset)
        config.external_config_dict = {**given, "pigeon_features": found and str(found)}
        return None

    return load


def _without_filtered_items(original: Any, dataset: Any) -> None:
    if "pigeon_base_model" in dataset.config:
        drop_filtered_items(dataset)
    original(dataset)


def _plain_checkpoint(wrapper: type[Any]) -> Any:
    def save(original: Any, trainer: Any, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        if not isinstance(trainer.model, wrapper):
            return original(trainer, epoch, verbose=verbose, **kwargs)
        if not trainer.config["single_spec"] and trainer.config["local_rank"] != 0:
            return None
        path = kwargs.pop("saved_model_file", trainer.saved_model_file)
        save_checkpoint(trainer, epoch, path)
        if verbose:
            trainer.logger.info(f"Saving current: {path}")
        return None

    return save
