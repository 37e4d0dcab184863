"""RecBole's own models: finding one by name, which can be wrapped, and scoring all items."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from typing import Any, Final

import torch
from recbole.data.interaction import Interaction
from recbole.utils import ModelType, get_model
from torch import Tensor

from pigeon_rec.errors import ConfigError

__all__ = ["base_model_class", "recbole_model_class", "score_all_items"]

_LOCATION: Final = "pigeon_base_model"
_PAIRS: Final = 1 << 18  # pairs scored at once by models without a full sort
_PACKAGES = ("general_recommender", "sequential_recommender")
_USABLE = (ModelType.GENERAL, ModelType.TRADITIONAL, ModelType.SEQUENTIAL)

# RecBole looks up the data set, data loader or trainer of these by the model's name, so they cannot
# be trained under the wrapper's name.
_NAMED_LOADER = {
    *("CDAE", "DiffRec", "ENMF", "LDiffRec", "MacridVAE", "MultiDAE", "MultiVAE", "RaCT", "RecVAE")
}
_NAMED_TRAINER = {"NCL", "S3Rec"}
_NAMED_DATASET = {"DIEN", "GRU4RecKG", "KSR"}


def base_model_class(name: Any) -> type[Any]:
    """Returns RecBole's general or sequential model of that name, if it can be wrapped.

    Raises:
        ConfigError: RecBole has no such model, it is of another type (context-aware,
            knowledge-based), or RecBole trains it with parts looked up by its name.
    """
    model = recbole_model_class(name, location=_LOCATION, packages=_PACKAGES)
    remedy = "Choose a general or sequential model such as BPR, LightGCN, SASRec or GRU4Rec"
    if model.type not in _USABLE:
        raise ConfigError(
            f"{name} is a {model.type.name.lower()} model and cannot be wrapped",
            location=_LOCATION,
            remedy=remedy,
        )
    if name in _NAMED_LOADER | _NAMED_TRAINER | _NAMED_DATASET:
        raise ConfigError(
            f"RecBole trains {name} with a data set, data loader or trainer of its own, found by "
            "the model's name, so it cannot be wrapped",
            location=_LOCATION,
            remedy=remedy,
        )
    return model


def recbole_model_class(
    name: Any, *, location: str, packages: tuple[str, ...] = ("general_recommender",)
) -> type[Any]:
    """Returns RecBole's model class of that name.

    Args:
        name: As RecBole spells it; capitals matter.
        location: The setting that names it, for the message.
        packages: Packages of `recbole.model` to search for a similar name.

    Raises:
        ConfigError: There is none; the message suggests the most similar name.
    """
    try:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ValueError(name)  # an import path, for example
        # One of RecBole's modules turns on autograd's anomaly detection when it is imported.
        with torch.autograd.set_detect_anomaly(False):
            model: type[Any] = get_model(name)
    except (ValueError, AttributeError, ImportError) as error:
        raise ConfigError(
            f"RecBole has no model {name!r}",
            location=location,
            remedy=f"{_hint(str(name), packages)}Use a model such as BPR, LightGCN or ItemKNN",
        ) from error
    return model


def score_all_items(model: Any, rows: Interaction, item_field: str, n_items: int) -> Tensor:
    """Scores every item for each row, float32 `[rows, n_items]`, by RecBole's internal item ids.

    Args:
        model: A model of RecBole.
        rows: What the model's `full_sort_predict` takes.
        item_field: Name of the item id field.
        n_items: Number of items, padding included.
    """
    try:
        scores = model.full_sort_predict(rows)
    except NotImplementedError:  # NeuMF, for example: score pair by pair
        items = torch.arange(n_items, device=model.device)
        row_of = torch.arange(len(rows), device=model.device).repeat_interleave(n_items)
        item_of = items.repeat(len(rows))
        parts = []
        for start in range(0, len(row_of), _PAIRS):
            pairs = rows[row_of[start : start + _PAIRS]]
            pairs.update(Interaction({item_field: item_of[start : start + _PAIRS]}))
            parts.append(model.predict(pairs))
        scores = torch.cat(parts)
    return torch.as_tensor(scores).view(len(rows), n_items)


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
