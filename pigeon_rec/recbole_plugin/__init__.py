"""The RecBole model wrapper and its tools; the only package that imports RecBole.

RecBole and torch are loaded when one of the names below is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pigeon_rec.recbole_plugin.model_top_k import export_model_top_k
    from pigeon_rec.recbole_plugin.recommender import PigeonRecommender
    from pigeon_rec.recbole_plugin.run import load_pigeon, run_pigeon_recbole
    from pigeon_rec.recbole_plugin.top_k import export_top_k

__all__ = [
    "PigeonRecommender",
    "export_model_top_k",
    "export_top_k",
    "load_pigeon",
    "run_pigeon_recbole",
]

_MODULES = {
    "PigeonRecommender": "recommender",
    "export_model_top_k": "model_top_k",
    "export_top_k": "top_k",
    "load_pigeon": "run",
    "run_pigeon_recbole": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
