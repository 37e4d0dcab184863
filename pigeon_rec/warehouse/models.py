"""The model registry: every trained model with its origin, promotion check and weights.

The serving model is the one promoted last; promoting an older model again is the way back. The
registry stores path and SHA-256 of the weights, and refuses weights whose content has changed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from pigeon_rec.errors import ModelError, WarehouseError
from pigeon_rec.runtime.digests import folder_sha256, weights_sha256
from pigeon_rec.warehouse._frames import fetch, select
from pigeon_rec.warehouse.connection import driver_errors, is_missing, open_reader, transaction
from pigeon_rec.warehouse.sql_files import sql_text

__all__ = [
    "Decision",
    "RegisteredModel",
    "TrainedModel",
    "checked_weights",
    "find_model",
    "list_models",
    "promote_model",
    "register_model",
    "serving_model",
]

Decision = Literal["accepted", "refused"]


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A trained model, before it is registered.

    Attributes:
        version: Name and content digest of its folder, as `pigeon_rec.model.version` gives it.
        parent_version: Model whose weights its training started from, if known.
        alignment: Date of the weekly alignment that trained it, if any.
        config: Settings of its training and promotion check, as JSON values.
        metrics: What was measured, as JSON values.
        weights_path: Its folder, absolute or relative to the work directory.
        weights_sha256: Content hash of that folder.
        decision: Result of the promotion check.
        reason: Reason for the decision, as a sentence.
    """

    version: str
    parent_version: str | None
    alignment: str | None
    config_hash: str
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    weights_path: str
    weights_sha256: str
    decision: Decision
    reason: str


@dataclass(frozen=True, kw_only=True)
class RegisteredModel(TrainedModel):
    """A registered model.

    Attributes:
        created_at: When it was first registered.
        promoted_at: When it was last promoted, if ever.
        serving: Whether it is the serving model.
    """

    created_at: dt.datetime
    promoted_at: dt.datetime | None
    serving: bool


def register_model(
    connection: DuckDBPyConnection, model: TrainedModel, *, now: dt.datetime | None = None
) -> RegisteredModel:
    """Registers a model, or updates a registered one; does not promote it.

    A version that is registered keeps its first date and its promotion. `connection` is outside
    any transaction; `now` is recorded instead of the current time.

    Raises:
        WarehouseError: `config` or `metrics` are not JSON, or DuckDB refused the row. Nothing was
            written.
    """
    facts = {
        **{field.name: getattr(model, field.name) for field in dataclasses.fields(TrainedModel)},
        "config": _json(model.config, model.version),
        "metrics": _json(model.metrics, model.version),
        "created_at": now or dt.datetime.now(dt.UTC),
    }
    with driver_errors(f"model {model.version}"), transaction(connection):
        fetch(connection, sql_text("models/register"), facts)
    return _known(connection, model.version)


def promote_model(
    connection: DuckDBPyConnection,
    version: str,
    work_dir: Path,
    *,
    despite_refusal: bool = False,
    now: dt.datetime | None = None,
) -> RegisteredModel:
    """Makes a registered model the serving one, in one transaction.

    The serving model is left as it is. Relative weight paths start from `work_dir`. With
    `despite_refusal`, a model that failed its promotion check is promoted too.

    Raises:
        WarehouseError: The version is unknown or was refused.
        ModelError: Its weights are missing or were changed.
    """
    with driver_errors(f"model {version}"), transaction(connection):
        model = _known(connection, version)
        if model.decision == "refused" and not despite_refusal:
            raise WarehouseError(
                f"model {version!r} was refused: {model.reason}",
                location="models",
                remedy="Promote another, or add --despite-refusal",
            )
        checked_weights(model, work_dir)
        if not model.serving:
            facts = {"version": version, "now": now or dt.datetime.now(dt.UTC)}
            fetch(connection, sql_text("models/promote"), facts)
    return _known(connection, version)


def list_models(source: DuckDBPyConnection | Path) -> list[RegisteredModel]:
    """Returns all models, newest first; none if there is no warehouse yet.

    Raises:
        WarehouseError: The file cannot be read.
    """
    return _read(source, version=None, only_serving=False)


def find_model(source: DuckDBPyConnection | Path, version: str) -> RegisteredModel | None:
    """Returns the model of this version, or None.

    Raises:
        WarehouseError: The file cannot be read.
    """
    return next(iter(_read(source, version=version, only_serving=False)), None)


def serving_model(source: DuckDBPyConnection | Path) -> RegisteredModel | None:
    """Returns the model promoted last; None before the first promotion.

    Raises:
        WarehouseError: The file cannot be read.
    """
    return next(iter(_read(source, version=None, only_serving=True)), None)


def checked_weights(model: TrainedModel, work_dir: Path) -> Path:
    """Returns the folder of a model's weights after checking its content hash.

    Raises:
        ModelError: The folder is missing, or its content has changed.
    """
    folder = work_dir / model.weights_path
    if not folder.is_dir():
        raise ModelError(
            f"the weights of model {model.version!r} are gone",
            location=str(folder),
            remedy="Restore the folder, or promote another model: pigeon-rec models list",
        )
    found = weights_sha256(folder)
    # Of a model that was registered when the card was hashed as well.
    if model.weights_sha256 not in (found, folder_sha256(folder)):
        raise ModelError(
            f"the weights of model {model.version!r} were changed: their SHA-256 is "
            f"{found[:12]}..., registered was {model.weights_sha256[:12]}...",
            location=str(folder),
            remedy="Restore the folder, or register the changed model as a new one",
        )
    return folder


def _read(
    source: DuckDBPyConnection | Path, *, version: str | None, only_serving: bool
) -> list[RegisteredModel]:
    if isinstance(source, Path):
        if is_missing(source):
            return []
        with open_reader(source) as connection:
            return _read(connection, version=version, only_serving=only_serving)
    with driver_errors("models"):
        # A file of an older schema has no models until it is opened for writing.
        [(known,)] = fetch(source, sql_text("models/has_table"))
        if not known:
            return []
        facts = {"version": version, "only_serving": only_serving}
        rows = select(source, sql_text("models/list"), facts)
    return [_model(row) for row in rows.iter_rows(named=True)]


def _known(connection: DuckDBPyConnection, version: str) -> RegisteredModel:
    model = find_model(connection, version)
    if model is None:
        versions = ", ".join(known.version for known in list_models(connection)) or "none"
        raise WarehouseError(
            f"there is no model {version!r}",
            location="models",
            remedy=f"Registered models: {versions}",
        )
    return model


def _model(row: Mapping[str, Any]) -> RegisteredModel:
    documents = {name: json.loads(row[name]) for name in ("config", "metrics")}
    return RegisteredModel(**{**row, **documents})


def _json(value: Mapping[str, Any], version: str) -> str:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise WarehouseError(
            f"a model's settings or metrics hold a value that is not JSON: {error}",
            location=f"model {version}",
        ) from error
