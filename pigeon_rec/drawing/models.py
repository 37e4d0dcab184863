"""Which model a run draws with: a named one, or the one that the registry serves."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pigeon_rec.errors import ModelError, WarehouseError
from pigeon_rec.model.paths import model_folder
from pigeon_rec.model.version import model_version
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.runtime.digests import digest, folder_sha256
from pigeon_rec.warehouse import open_warehouse
from pigeon_rec.warehouse.models import (
    RegisteredModel,
    TrainedModel,
    checked_weights,
    find_model,
    register_model,
    serving_model,
)

__all__ = ["FALLBACK", "SERVING", "ChosenModel", "chosen_model", "register_by_hand"]

SERVING: Final = "serving"
"""Value of `model` that means: the model promoted last."""
FALLBACK: Final = "sticker-64"
"""The bundled model that serves until one is promoted."""


@dataclass(frozen=True)
class ChosenModel:
    """A model that can be loaded.

    Attributes:
        source: Name of a bundled model or the folder of a saved one.
        version: Name and content digest, as in `asset_key`.
    """

    source: str
    version: str


def chosen_model(model: str, work_dir: Path, version: str | None = None) -> ChosenModel:
    """The model that a setting means.

    Args:
        model: Name of a bundled model, the folder of a saved one, or `serving`.
        work_dir: Folder of the warehouse with the registry.
        version: The version that a plan was made with. With `serving` that one is taken, even if
            another was promoted since: one night has one model.

    Raises:
        ModelError: There is no such model, or the weights of a registered one are gone or were
            changed.
        WarehouseError: The registry cannot be read.
    """
    if model != SERVING:
        return ChosenModel(model, model_version(model))
    warehouse = _registry(work_dir)
    known = serving_model(warehouse) if version is None else find_model(warehouse, version)
    if known is not None:
        return ChosenModel(str(checked_weights(known, work_dir)), known.version)
    fallback = ChosenModel(FALLBACK, model_version(FALLBACK))
    if version not in (None, fallback.version):
        raise ModelError(
            f"model {version!r} was planned with and is not registered",
            location=str(warehouse),
            remedy="Plan the night again",
        )
    return fallback


def register_by_hand(model: str | Path, work_dir: Path, reason: str) -> RegisteredModel:
    """Enters a model that no alignment made, so that it can be promoted.

    Args:
        model: Name of a bundled model, or the folder of a saved one; it has to stay where it is.
        work_dir: Folder of the warehouse with the registry.
        reason: Why it may serve, for whoever reads the registry.

    Raises:
        ModelError: There is no such model.
        WarehouseError: It is registered already: whatever was decided of it stands.
    """
    folder, version = model_folder(model).resolve(), model_version(model)
    inside = folder.is_relative_to(work_dir.resolve())
    path = folder.relative_to(work_dir.resolve()) if inside else folder
    trained = TrainedModel(
        version=version,
        parent_version=None,
        alignment=None,
        config_hash=digest({}),
        config={},
        metrics={},
        weights_path=path.as_posix(),
        weights_sha256=folder_sha256(folder),
        decision="accepted",
        reason=reason,
    )
    with open_warehouse(_registry(work_dir)) as warehouse:
        known = find_model(warehouse, version)
        if known is not None:
            raise WarehouseError(
                f"model {version!r} is registered already: {known.decision}, {known.reason}",
                location=str(_registry(work_dir)),
                remedy=f"Promote it: pigeon-rec models promote {version}",
            )
        return register_model(warehouse, trained)


def _registry(work_dir: Path) -> Path:
    # The same for all nights, so any date will do.
    return NightPaths(work_dir, dt.date.min).warehouse
