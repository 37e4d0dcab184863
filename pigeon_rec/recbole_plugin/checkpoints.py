"""Checkpoints that hold plain values only, so that reading one never runs code.

RecBole pickles its whole `Config` into a checkpoint, with a protocol that torch's restricted
unpickler (`weights_only`, the default since torch 2.6) rejects: RecBole 1.2.1 cannot load its own
checkpoints. Ours have RecBole's keys, but the configuration is a mapping of plain values and a call
that rebuilds it, so that `torch.load`, as RecBole calls it, reads the file in restricted mode.

The one function added to torch's safe globals is `restore_config`. `Config` itself is not, because
its constructor calls `eval` on text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from recbole.config import Config
from recbole.utils import EvaluatorType, InputType, ModelType

from pigeon_rec.errors import ModelError, error_text
from pigeon_rec.recbole_plugin.base_models import base_label, is_importable
from pigeon_rec.recbole_plugin.plain_values import plain_setting

__all__ = [
    "SavedConfig",
    "read_checkpoint",
    "restore_config",
    "save_checkpoint",
    "write_weight",
]

_ENUMS: Final[Mapping[str, type[Any]]] = {
    "MODEL_TYPE": ModelType,
    "MODEL_INPUT_TYPE": InputType,
    "eval_type": EvaluatorType,
}
# RecBole unpickles the files that these settings name: a checkpoint must not choose them.
_PICKLE_SETTINGS: Final = ("dataset_save_path", "dataloaders_save_path")
_BASE: Final = "pigeon_base_model"
_PROTOCOL: Final = 2  # the one that torch's restricted unpickler supports


class SavedConfig:
    """A `Config` as plain values, for a checkpoint; unpickling it gives a `Config`."""

    def __init__(self, config: Config) -> None:
        self._values = {key: _plain(key, value) for key, value in config.final_config_dict.items()}

    def __reduce__(self) -> tuple[Any, tuple[dict[str, Any]]]:
        return restore_config, (self._values,)


def restore_config(values: Mapping[str, Any]) -> Config:
    """Rebuilds a RecBole configuration from plain values, without evaluating any of them.

    Args:
        values: The saved `final_config_dict`; enumerations are given by name, the device as text.

    Raises:
        ModelError: `values` is not a mapping, names an enumeration member that does not exist, or
            names a base model of a module that has not been imported.
    """
    if not isinstance(values, Mapping):
        raise ModelError(
            f"a saved configuration must be a mapping, received {type(values).__name__}"
        )
    if not is_importable(values.get(_BASE)):
        raise ModelError(
            f"the base model of the checkpoint is {values[_BASE]!r}, of a module that is not "
            "imported, and reading a checkpoint runs no code",
            location=_BASE,
            remedy="Import that module first, if you trust it",
        )
    config = Config.__new__(Config)  # never its constructor, which evaluates text
    config.compatibility_settings()
    config._init_parameters_category()
    config.yaml_loader = config._build_yaml_loader()
    config.final_config_dict = {key: _restored(key, value) for key, value in values.items()}
    for key in ("model", "dataset"):
        setattr(config, key, config.final_config_dict.get(key))
    config.final_config_dict.update(dict.fromkeys(_PICKLE_SETTINGS))
    return config


def save_checkpoint(trainer: Any, epoch: int, path: str | Path) -> None:
    """Writes RecBole's checkpoint of a trainer, with the configuration as plain values.

    `epoch` is the index of the last finished epoch; -1 before the first.
    """
    state = {
        "config": SavedConfig(trainer.config),
        "epoch": epoch,
        "cur_step": trainer.cur_step,
        "best_valid_score": float(trainer.best_valid_score),
        "state_dict": trainer.model.state_dict(),
        "other_parameter": trainer.model.other_parameter(),
        "optimizer": trainer.optimizer.state_dict(),
    }
    torch.save(state, path, pickle_protocol=_PROTOCOL)


def write_weight(path: str | Path, weight: float) -> None:
    """Replaces the weight of the visuals in a checkpoint that `save_checkpoint` wrote."""
    state = read_checkpoint(path)
    state["state_dict"]["visual_weight"] = torch.tensor(weight)
    torch.save({**state, "config": SavedConfig(state["config"])}, path, pickle_protocol=_PROTOCOL)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint that `save_checkpoint` wrote, on the CPU.

    Raises:
        ModelError: The file is missing or damaged, or holds more than plain values.
    """
    try:
        # Not as a context manager: RecBole's own loader needs the registration too.
        torch.serialization.add_safe_globals([restore_config])
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not isinstance(state.get("config"), Config):
            raise ModelError("it holds no configuration of the wrapper")
    except Exception as error:  # what torch raises depends on the damaged byte
        raise ModelError(
            f"the checkpoint cannot be read: {error_text(error)}",
            location=str(path),
            remedy="Give a checkpoint of PigeonRecommender; one of plain RecBole is refused, "
            "because reading it could run code",
        ) from error
    return state


def _plain(key: str, value: Any) -> Any:
    if key in _ENUMS and isinstance(value, _ENUMS[key]):
        return value.name
    if key == _BASE and isinstance(value, type):
        return base_label(value)
    return plain_setting(key, value)


def _restored(key: str, value: Any) -> Any:
    if key == "device":
        usable = torch.cuda.is_available() or value == "cpu"
        return torch.device(str(value) if usable else "cpu")
    if key in _ENUMS and isinstance(value, str):
        member = _ENUMS[key].__members__.get(value)
        if member is None:
            raise ModelError(f"{value!r} is not a {_ENUMS[key].__name__}", location=key)
        return member
    return value
