"""Base models: finding RecBole's own or the user's, which can be wrapped, scoring all items."""

from __future__ import annotations

import difflib
import importlib
import operator
import pkgutil
import re
import sys
from typing import Any, Final

import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import ModelType, get_model
from torch import Tensor

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin.todays_stack import prepare

__all__ = [
    "base_label",
    "base_model_class",
    "is_importable",
    "recbole_model_class",
    "score_all_items",
    "score_all_pairs",
]

prepare()  # every use of RecBole in this package imports this module

_LOCATION: Final = "pigeon_base_model"
_PAIRS: Final = 1 << 18  # pairs scored at once by models without a full sort
_REMEDY: Final = "Choose a general or sequential model such as BPR, LightGCN, SASRec or GRU4Rec"
_PACKAGES = ("general_recommender", "sequential_recommender")
_USABLE = (ModelType.GENERAL, ModelType.TRADITIONAL, ModelType.SEQUENTIAL)

# RecBole looks up the data set, data loader or trainer of these by the model's name, so they cannot
# be trained under the wrapper's name.
_NAMED_LOADER = {
    *("CDAE", "DiffRec", "ENMF", "LDiffRec", "MacridVAE", "MultiDAE", "MultiVAE", "RaCT", "RecVAE")
}
_NAMED_TRAINER = {"NCL", "S3Rec"}
_NAMED_DATASET = {"DIEN", "GRU4RecKG", "KSR"}


def base_model_class(base: Any) -> type[Any]:
    """Returns the model class to wrap.

    Args:
        base: Name of one of RecBole's general or sequential models, a model class of RecBole's
            kind, or `module:Class` for a class that is imported from that module.

    Raises:
        ConfigError: There is no such model or class, it is of another type (context-aware,
            knowledge-based), or RecBole trains it with parts looked up by its name.
    """
    if isinstance(base, type):
        return _usable(base, base_label(base))
    if isinstance(base, str) and ":" in base:
        return _usable(_imported(base), base)
    model = recbole_model_class(base, location=_LOCATION, packages=_PACKAGES)
    if base in _NAMED_LOADER | _NAMED_TRAINER | _NAMED_DATASET:
        raise ConfigError(
            f"RecBole trains {base} with a data set, data loader or trainer of its own, found by "
            "the model's name, so it cannot be wrapped",
            location=_LOCATION,
            remedy=_REMEDY,
        )
    return _usable(model, base)


def base_label(model: type[Any]) -> str:
    """Returns the text that names a class in `pigeon_base_model`."""
    own = not model.__module__.startswith("recbole.model.")
    return f"{model.__module__}:{model.__qualname__}" if own else model.__name__


def is_importable(base: Any) -> bool:
    """Whether a base can be found without importing a module that is not RecBole's."""
    return not isinstance(base, str) or ":" not in base or base.partition(":")[0] in sys.modules


def _usable(model: type[Any], label: str) -> type[Any]:
    """Checks the kind and the type of a model class.

    Raises:
        ConfigError: It is no model of RecBole's kind, or of a type that cannot be wrapped.
    """
    if not issubclass(model, AbstractRecommender):
        raise ConfigError(
            f"{label} is no model of RecBole's kind: it must inherit GeneralRecommender or "
            "SequentialRecommender",
            location=_LOCATION,
            remedy=_REMEDY,
        )
    if model.__name__ == "PigeonRecommender":
        raise ConfigError("the wrapper cannot wrap itself", location=_LOCATION, remedy=_REMEDY)
    kind = getattr(model, "type", None)
    if kind not in _USABLE:
        name = kind.name.lower() if isinstance(kind, ModelType) else repr(kind)
        raise ConfigError(
            f"{label} is a {name} model and cannot be wrapped", location=_LOCATION, remedy=_REMEDY
        )
    return model


def _imported(base: str) -> type[Any]:
    """The class that `module:Class` names.

    Raises:
        ConfigError: There is no such module or class.
    """
    module, _, name = base.partition(":")
    try:
        found = operator.attrgetter(name)(importlib.import_module(module))
        if not isinstance(found, type):
            raise TypeError(f"{name} is no class")
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"cannot import the base model {base!r}: {error}",
            location=_LOCATION,
            remedy="Give module:Class of a module on Python's path, such as my_models:VBPR",
        ) from error
    return found


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


def score_all_items(
    model: Any, rows: Interaction, items: Interaction, *, pairs: int = _PAIRS
) -> Tensor:
    """Scores every item for each row, `[rows, n_items]`, by RecBole's internal item ids.

    Args:
        model: A model of RecBole.
        rows: What the model's `full_sort_predict` takes.
        items: All items with their features, as `dataset.get_item_feature()` returns them.
        pairs: Pairs that a model without a full sort (NeuMF, for example) scores at once.
    """
    try:
        scores = model.full_sort_predict(rows)
    except NotImplementedError:
        scores = score_all_pairs(model, rows, items, pairs=pairs)
    return torch.as_tensor(scores).view(len(rows), len(items))


def score_all_pairs(model: Any, rows: Interaction, items: Interaction, *, pairs: int) -> Tensor:
    """The same with the model's `predict`, holding at most `pairs` pairs of row and item.

    RecBole's trainer scores `eval_batch_size` pairs at once, but holds all of them; with the same
    number, the scores are the same to the bit.
    """
    n_items = len(items)
    total = len(rows) * n_items
    features = items.to(model.device)
    parts = []
    for first in range(0, total, pairs):
        place = torch.arange(first, min(first + pairs, total), device=model.device)
        batch = rows[place // n_items]
        batch.update(features[place % n_items])
        parts.append(model.predict(batch).view(-1))  # a single score has no dimension
    return torch.cat(parts).view(len(rows), n_items)


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
