"""Registers `PigeonRecommender` with RecBole.

RecBole finds a model's module and defaults by the model's name, in its own folders, and a model
class has one fixed type. The wrapper has the type and the defaults of the model it wraps. Importing
it therefore adds to RecBole what follows; none of it affects other models.

- The wrapper's module under the name that RecBole imports: `load_data_and_model`, hyper-parameter
  tuning and `run_recbole(model="PigeonRecommender")` then find it.
- In a `Config` of the wrapper: defaults, model type and input type of the base model, and no
  negative sampling for a sequential base with cross-entropy.
- In a `Dataset` of the wrapper: no item that the filters have removed, and broken feature files by
  name (see `item_vectors`).
- In a `Trainer` of the wrapper: checkpoints of plain values (see `checkpoints`), and the choice of
  the weight after `fit` (see `fitting`).
- Where RecBole would use the wrapper to train or describe the base, it uses the base: dynamic
  negative sampling, and the count of floating-point operations.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataloader.abstract_dataloader import NegSampleDataLoader
from recbole.data.dataset import Dataset
from recbole.trainer import Trainer
from recbole.utils import ModelType

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin.base_models import base_model_class
from pigeon_rec.recbole_plugin.checkpoints import restore_config, save_checkpoint
from pigeon_rec.recbole_plugin.fitting import fit_and_choose
from pigeon_rec.recbole_plugin.item_vectors import (
    drop_filtered_items,
    find_features,
    load_features,
    remember_items,
)
from pigeon_rec.recbole_plugin.settings import PigeonSettings, default_settings

__all__ = ["register"]

_MODULE: Final = "recbole.model.general_recommender.{}"


def register(wrapper: type[Any], module: ModuleType) -> None:
    """Adds the wrapper to RecBole; a second call has no effect."""
    sys.modules[_MODULE.format(wrapper.__name__.lower())] = module
    torch.serialization.add_safe_globals([restore_config])
    _wrap_once(Config, "_load_internal_config_dict", _defaults_of_base(wrapper))
    _wrap_once(Dataset, "_load_additional_feat", _named(wrapper))
    _wrap_once(Dataset, "_data_filtering", _before(remember_items, wrapper))
    _wrap_once(Dataset, "_remap_ID_all", _before(drop_filtered_items, wrapper))
    _wrap_once(Trainer, "_save_checkpoint", _plain_checkpoint(wrapper))
    _wrap_once(Trainer, "fit", _choosing_fit(wrapper))
    _wrap_once(NegSampleDataLoader, "get_model", _of_base(wrapper, place=1))
    # RecBole imports this function by name: every module that has it so far gets the new one.
    for name in ("recbole.utils.utils", "recbole.utils", "recbole.quick_start.quick_start"):
        if name in sys.modules:
            _wrap_once(sys.modules[name], "get_flops", _of_base(wrapper, place=0))


def _wrap_once(owner: Any, name: str, around: Any) -> None:
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
        # NumPy's scalars, which tuners draw, as Python's: `random.seed` takes no others.
        given = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in config.external_config_dict.items()
        }
        config.external_config_dict = given
        settings = PigeonSettings.of(given)
        base = base_model_class(settings.base_model)
        original(config, base.__name__, base, dataset)
        config.internal_config_dict.update(default_settings())
        config.model_class = base  # RecBole takes the input type from it
        found = find_features(config, settings, dataset)
        config.external_config_dict = {
            **given,
            **_negative_sampling(config, base),
            "pigeon_features": found and str(found),
        }
        return None

    return load


def _negative_sampling(config: Any, base: type[Any]) -> dict[str, Any]:
    """`train_neg_sample_args` of a base with cross-entropy over all items: none.

    Raises:
        ConfigError: The user's settings ask for negative samples.
    """
    given = config.external_config_dict
    merged = {**config.internal_config_dict, **given}
    cross_entropy = not hasattr(base, "input_type") and merged.get("loss_type") == "CE"
    if not cross_entropy or base.type != ModelType.SEQUENTIAL:
        return {}
    if given.get("train_neg_sample_args") is not None:
        raise ConfigError(
            f"{base.__name__} with loss_type CE compares with all items and takes no negative "
            f"samples, received {given['train_neg_sample_args']!r}",
            location="train_neg_sample_args",
            remedy="Leave it out, or set loss_type: BPR",
        )
    return {"train_neg_sample_args": None}


def _named(wrapper: type[Any]) -> Any:
    def load(original: Any, dataset: Any, *args: Any) -> Any:
        call = functools.partial(original, dataset, *args)
        return load_features(call, dataset) if _is_of(wrapper, dataset) else call()

    return load


def _is_of(wrapper: type[Any], dataset: Any) -> bool:
    return bool(dataset.config["model"] == wrapper.__name__)


def _before(first: Callable[[Any], None], wrapper: type[Any]) -> Any:
    """Calls a function before a method of the wrapper's data sets."""

    def call(original: Any, dataset: Any) -> None:
        if _is_of(wrapper, dataset):
            first(dataset)
        original(dataset)

    return call


def _choosing_fit(wrapper: type[Any]) -> Any:
    def fit(
        original: Any,
        trainer: Any,
        train_data: Any,
        valid_data: Any = None,
        verbose: bool = True,
        saved: bool = True,
        *more: Any,
        **kwargs: Any,
    ) -> Any:
        fit_base = functools.partial(
            original, trainer, train_data, valid_data, verbose, saved, *more, **kwargs
        )
        if not isinstance(trainer.model, wrapper) or not trainer.model.learns_weight:
            return fit_base()
        return fit_and_choose(fit_base, trainer, valid_data, saved=saved)

    return fit


def _of_base(wrapper: type[Any], *, place: int) -> Any:
    """Calls a function with the base instead of the wrapper as its argument number `place`."""

    def call(original: Any, *args: Any, **kwargs: Any) -> Any:
        parts = [*args]
        if place < len(parts) and isinstance(parts[place], wrapper):
            parts[place] = parts[place].base
        return original(*parts, **kwargs)

    return call


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
