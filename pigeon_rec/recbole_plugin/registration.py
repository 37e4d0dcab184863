"""Registers `PigeonRecommender` with RecBole.

RecBole finds a model's module and defaults by the model's name, in its own folders, and a model
class has one fixed type. The wrapper has the type and the defaults of the model it wraps. Importing
it therefore adds three things to RecBole, none of which affects other models:

- the wrapper's module under the name that RecBole imports: `load_data_and_model`, hyper-parameter
  tuning and `run_recbole(model="PigeonRecommender")` then find it;
- the defaults, model type and input type of the base model, in a `Config` of the wrapper;
- checkpoints of plain values (see `checkpoints`), when a trainer saves the wrapper.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import recbole
import torch
from recbole.config import Config
from recbole.trainer import Trainer

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin.base_models import base_model_class
from pigeon_rec.recbole_plugin.checkpoints import restore_config, save_checkpoint
from pigeon_rec.recbole_plugin.settings import PigeonSettings, default_settings

__all__ = ["register"]

_MODULE: Final = "recbole.model.general_recommender.{}"
_BUNDLED: Final = "ml-100k"  # RecBole reads this one from its own wheel, regardless of `data_path`


def register(wrapper: type[Any], module: ModuleType) -> None:
    """Adds the wrapper to RecBole; a second call has no effect."""
    sys.modules[_MODULE.format(wrapper.__name__.lower())] = module
    torch.serialization.add_safe_globals([restore_config])
    _wrap_once(Config, "_load_internal_config_dict", _defaults_of_base(wrapper))
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
        _find_item_vectors(config, settings, dataset)
        return None

    return load


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


def _find_item_vectors(config: Any, settings: PigeonSettings, dataset: str) -> None:
    """Makes RecBole load `<dataset>.<suffix>` if it exists beside the other atomic files.

    If `additional_feat_suffix` or `preload_weight` is set, the settings are checked instead.
    """
    given = config.external_config_dict
    suffix, id_field = settings.visual_suffix, settings.visual_id_field
    path = _dataset_folder(config, dataset) / f"{dataset}.{suffix}"
    if given.get("additional_feat_suffix") or given.get("preload_weight"):
        _check_conventions(given, settings, path)
        return
    if not path.is_file():
        return
    columns = {"load_col": {**_load_col(config), suffix: [id_field, settings.visual_field]}}
    aliases = [*(given.get("alias_of_item_id") or []), id_field]
    config.external_config_dict = {
        **given,
        "additional_feat_suffix": [suffix],
        "alias_of_item_id": list(dict.fromkeys(aliases)),
        "preload_weight": {id_field: settings.visual_field},
        **(columns if _load_col(config) is not None else {}),
    }


def _load_col(config: Any) -> Any:
    """The columns for RecBole to load; `None` for all."""
    both = {**config.internal_config_dict, **config.external_config_dict}
    return both.get("load_col")


def _dataset_folder(config: Any, dataset: str) -> Path:
    if dataset == _BUNDLED:
        return Path(recbole.__file__).parent / "dataset_example" / dataset
    both = {**config.internal_config_dict, **config.external_config_dict}
    return Path(both["data_path"]) / dataset


def _check_conventions(given: dict[str, Any], settings: PigeonSettings, path: Path) -> None:
    """Checks RecBole's four settings of pre-trained item features against each other.

    Raises:
        ConfigError: The file of a suffix is missing, a field is not loaded, or its ids are not
            those of the items; the location is the name of RecBole's setting.
    """
    suffix = settings.visual_suffix
    id_field, field = settings.visual_id_field, settings.visual_field
    suffixes = given.get("additional_feat_suffix") or []
    suffixes = [suffixes] if isinstance(suffixes, str) else suffixes
    if suffix not in suffixes:
        if id_field in (given.get("preload_weight") or {}):
            raise ConfigError(
                f"preload_weight names [{id_field}], but additional_feat_suffix {suffixes} does "
                f"not load [{suffix}]",
                location="additional_feat_suffix",
                remedy=f"Add {suffix}, or set pigeon_visual_suffix to the suffix of your file",
            )
        return  # other features than item vectors
    if not path.is_file():
        raise ConfigError(
            f"additional feature file [{path}] not found",
            location="additional_feat_suffix",
            remedy="Write it with `pigeon-rec recbole features`, or correct the suffix",
        )
    if (given.get("preload_weight") or {}).get(id_field) != field:
        raise ConfigError(
            f"preload_weight has no [{id_field}: {field}]",
            location="preload_weight",
            remedy=f"Set preload_weight: {{{id_field}: {field}}}",
        )
    if id_field not in (given.get("alias_of_item_id") or []):
        raise ConfigError(
            f"alias_of_item_id has no [{id_field}], so its ids are not item ids",
            location="alias_of_item_id",
            remedy=f"Set alias_of_item_id: [{id_field}]",
        )
    loaded = (given.get("load_col") or {suffix: "*"}).get(suffix, [])
    missing = [] if loaded == "*" else [name for name in (id_field, field) if name not in loaded]
    if missing:
        raise ConfigError(
            f"load_col does not load [{', '.join(missing)}] of [{suffix}]",
            location="load_col",
            remedy=f"Add {suffix}: [{id_field}, {field}] to load_col",
        )
