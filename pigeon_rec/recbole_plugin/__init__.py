"""RecBole beside pigeon_rec; the only package that imports it.

Importing this package is light: RecBole and torch are loaded when one of its names is first used.
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

_HOMES = {
    "PigeonRecommender": "recommender",
    "export_model_top_k": "model_top_k",
    "export_top_k": "top_k",
    "load_pigeon": "run",
    "run_pigeon_recbole": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
