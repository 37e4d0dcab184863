"""Personalised visuals for recommender systems, made nightly and served with SQL.

`import pigeon_rec as pr` gives the names that most programs need. They are imported when first
used, so that importing the package itself loads none of numpy, polars, pydantic and torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pigeon_rec._version import __version__

if TYPE_CHECKING:
    from pigeon_rec.config import NightlyConfig, load_config
    from pigeon_rec.data.catalogue import load_catalogue
    from pigeon_rec.errors import PigeonError
    from pigeon_rec.evaluation.run import evaluate
    from pigeon_rec.model.loading import load_pipeline
    from pigeon_rec.nightly.run import run_night
    from pigeon_rec.recbole_plugin.recommender import PigeonRecommender
    from pigeon_rec.retrieval.history import HistoryRetriever
    from pigeon_rec.warehouse.serve import AssetReader

__all__ = [
    "AssetReader",
    "HistoryRetriever",
    "NightlyConfig",
    "PigeonError",
    "PigeonRecommender",
    "__version__",
    "evaluate",
    "load_catalogue",
    "load_config",
    "load_pipeline",
    "run_night",
]

_HOMES = {
    "AssetReader": "warehouse.serve",
    "HistoryRetriever": "retrieval.history",
    "NightlyConfig": "config",
    "PigeonError": "errors",
    "PigeonRecommender": "recbole_plugin.recommender",
    "evaluate": "evaluation.run",
    "load_catalogue": "data.catalogue",
    "load_config": "config",
    "load_pipeline": "model.loading",
    "run_night": "nightly.run",
}

if not TYPE_CHECKING:  # type checkers must still refuse unknown names

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
