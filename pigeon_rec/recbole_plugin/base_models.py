"""RecBole's own models by name, and which of them can be wrapped."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from typing import Any, Final

import torch
from recbole.utils import ModelType, get_model

from pigeon_rec.errors import ConfigError

__all__ = ["DEFAULT_LOCATION", "base_model_class", "recbole_model_class"]

DEFAULT_LOCATION: Final = "pigeon_base_model"

_PACKAGES = ("general_recommender", "sequential_recommender")
_USABLE = (ModelType.GENERAL, ModelType.TRADITIONAL, ModelType.SEQUENTIAL)

# RecBole picks data set, data loader or trainer of these by the model's own name, so that they
# cannot be trained under ours.
_NAMED_LOADER = {
    *("CDAE", "DiffRec", "ENMF", "LDiffRec", "MacridVAE", "MultiDAE", "MultiVAE", "RaCT", "RecVAE")
}
_NAMED_TRAINER = {"NCL", "S3Rec"}
_NAMED_DATASET = {"DIEN", "GRU4RecKG", "KSR"}


def base_model_class(name: Any) -> type[Any]:
    """The general or sequential model of RecBole that a wrapper can stand on.

    Raises:
        ConfigError: RecBole has no such model, it is of another type (context-aware, knowledge),
            or RecBole trains it by parts that belong to its name.
    """
    model = recbole_model_class(name, location=DEFAULT_LOCATION, packages=_PACKAGES)
    remedy = "Choose a general or sequential model such as BPR, LightGCN, SASRec or GRU4Rec"
    if model.type not in _USABLE:
        raise ConfigError(
            f"{name} is a {model.type.name.lower()} model and cannot be wrapped",
            location=DEFAULT_LOCATION,
            remedy=remedy,
        )
    if name in _NAMED_LOADER | _NAMED_TRAINER | _NAMED_DATASET:
        raise ConfigError(
            f"RecBole trains {name} with a data set, data loader or trainer of its own, found by "
            "the model's name, so it cannot be wrapped",
            location=DEFAULT_LOCATION,
            remedy=remedy,
        )
    return model


def recbole_model_class(
    name: Any, *, location: str, packages: tuple[str, ...] = ("general_recommender",)
) -> type[Any]:
    """RecBole's model class of that name.

    Args:
        name: As RecBole spells it, capitals included.
        location: The setting that names it, for the message.
        packages: Of `recbole.model`, to look for a similar name in.

    Raises:
        ConfigError: There is none; the message names the nearest.
    """
    try:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ValueError(name)  # never let an import path through
        # One of RecBole's modules switches autograd's checks on for everybody as it is imported.
        with torch.autograd.set_detect_anomaly(False):
            model: type[Any] = get_model(name)
    except (ValueError, AttributeError, ImportError) as error:
        raise ConfigError(
            f"RecBole has no model {name!r}",
            location=location,
            remedy=f"{_hint(str(name), packages)}Use a model such as BPR, LightGCN or ItemKNN",
        ) from error
    return model


def _hint(name: str, packages: tuple[str, ...]) -> str:
    modules = {
        module.name: package
        for package in packages
        for module in pkgutil.iter_modules(
            importlib.import_module(f"recbole.model.{package}").__path__
        )
    }
    close = difflib.get_close_matches(name.lower(), modules, n=1, cutoff=0.6)
    if not close:
        return ""
    with torch.autograd.set_detect_anomaly(False):
        module = importlib.import_module(f"recbole.model.{modules[close[0]]}.{close[0]}")
    found = next((known for known in vars(module) if known.lower() == close[0]), close[0])
    return f"Did you mean RecBole's {found}? "
