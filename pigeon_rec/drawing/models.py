"""The model that a setting names: a bundled one, a saved one, or the one promoted last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pigeon_rec.config import NightlyConfig
from pigeon_rec.errors import ModelError, WarehouseError
from pigeon_rec.model.backbones.kinds import check_options, is_function, kind_of
from pigeon_rec.model.hub import PREFIX, cached_model
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.digests import digest, weights_sha256
from pigeon_rec.runtime.files import real_path
from pigeon_rec.runtime.work_dir import warehouse_file
from pigeon_rec.warehouse import open_warehouse
from pigeon_rec.warehouse.models import (
    RegisteredModel,
    TrainedModel,
    checked_weights,
    find_model,
    register_model,
    serving_model,
)

__all__ = [
    "FALLBACK",
    "SERVING",
    "ChosenModel",
    "chosen_model",
    "model_source",
    "night_model",
    "register_by_hand",
    "scorer_source",
]

SERVING: Final = "serving"
"""Value of `model` for the model that was promoted last."""
FALLBACK: Final = "sticker-64"
"""The bundled model that serves until one is promoted."""


@dataclass(frozen=True)
class ChosenModel:
    """A model that can be loaded.

    Attributes:
        source: Name of a bundled model, or the folder of a saved or downloaded one.
        version: Name and content digest; part of every `asset_key`.
    """

    source: str
    version: str


def night_model(config: NightlyConfig, version: str | None = None) -> ChosenModel:
    """Resolves the model of a night, and checks its options; arguments as of `chosen_model`.

    Raises:
        ConfigError: The model has no such option, or the function that it names is unusable.
        PigeonError: As `chosen_model`.
    """
    model = config.model
    if is_function(model):
        from pigeon_rec.model.backbones.load import load_backbone

        return ChosenModel(model, load_backbone(model, config.placement, config.backbone).version)
    chosen = chosen_model(model, config.work_dir, version)
    check_options(kind_of(chosen.source), config.backbone)
    return chosen


def scorer_source(model: str, scorer: str | None) -> str:
    """Returns the model whose scorer is used: the one that is given, or `model` itself.

    A backbone other than Pigeon that has no scorer in its folder is scored by the bundled one.
    """
    if scorer is not None:
        return scorer
    kind = kind_of(model)
    without = kind != "pigeon" and (
        kind == "function" or not (model_folder(model) / "scorer").is_dir()
    )
    return FALLBACK if without else model


def chosen_model(model: str, work_dir: Path, version: str | None = None) -> ChosenModel:
    """Resolves the setting `model` of a folder or name.

    Args:
        model: Name of a bundled model, the folder of a saved one, `hf://owner/name` of the Hub, or
            `serving`.
        work_dir: Folder of the warehouse with the registry.
        version: Version of the plan. `serving` then means that version, even if another was
            promoted since: one night has one model.

    Raises:
        ModelError: There is no such model, or the weights of a registered one are missing or
            changed.
        WarehouseError: The registry cannot be read.
    """
    if model != SERVING:
        return _pinned(model, version)
    warehouse = warehouse_file(work_dir)
    known = serving_model(warehouse) if version is None else find_model(warehouse, version)
    if known is not None:
        return ChosenModel(str(checked_weights(known, work_dir)), known.version)
    fallback = ChosenModel(FALLBACK, model_version(FALLBACK))
    if version not in (None, fallback.version):
        raise ModelError(
            f"model {version!r} of the plan is not registered",
            location=str(warehouse),
            remedy="Plan the night again",
        )
    return fallback


def _pinned(model: str, version: str | None) -> ChosenModel:
    """A branch of the Hub may move on during a night, which stays with the plan's commit."""
    folder = model_folder(model)
    found = cached_model(folder)
    if found is None:
        return ChosenModel(model, model_version(model))
    commit = re.search(r"@([0-9a-f]{40})-", version or "")
    if commit is not None and commit[1] != found.revision:
        folder = model_folder(f"{PREFIX}{found.repository}", commit[1])
    return ChosenModel(str(folder), model_version(folder))


def model_source(model: str, work_dir: Path) -> str:
    """Returns `chosen_model(model, work_dir).source`, without reading weights where it can.

    Raises:
        ModelError: `serving` is a model whose weights are missing or changed.
        WarehouseError: The registry cannot be read.
    """
    return model if model != SERVING else chosen_model(model, work_dir).source


def register_by_hand(model: str | Path, work_dir: Path, reason: str) -> RegisteredModel:
    """Registers a model that was not made by an alignment, so that it can be promoted.

    Args:
        model: Name of a bundled model, or the folder of a saved one, which must not be moved.
        work_dir: Folder of the warehouse with the registry.
        reason: Why the model may serve; kept in the registry.

    Raises:
        ModelError: There is no such model.
        WarehouseError: The model is registered already; its decision stays as it is.
    """
    folder, version = real_path(model_folder(model)), model_version(model)
    inside = folder.is_relative_to(real_path(work_dir))
    path = folder.relative_to(real_path(work_dir)) if inside else folder
    trained = TrainedModel(
        version=version,
        parent_version=None,
        alignment=None,
        config_hash=digest({}),
        config={},
        metrics={},
        weights_path=path.as_posix(),
        weights_sha256=weights_sha256(folder),
        decision="accepted",
        reason=reason,
    )
    with open_warehouse(warehouse_file(work_dir)) as warehouse:
        known = find_model(warehouse, version)
        if known is not None:
            raise WarehouseError(
                f"model {version!r} is registered already: {known.decision}, {known.reason}",
                location=str(warehouse_file(work_dir)),
                remedy=f"Promote it: pigeon-rec models promote {version}",
            )
        return register_model(warehouse, trained)
