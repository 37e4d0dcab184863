"""Models of a test's own in the registry of a work directory."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

from pigeon_rec.model.version import model_version
from pigeon_rec.nightly.paths import NightPaths
from pigeon_rec.runtime.digests import weights_sha256
from pigeon_rec.warehouse import open_warehouse
from pigeon_rec.warehouse.models import TrainedModel, promote_model, register_model

__all__ = ["promoted", "registry"]


def registry(work_dir: Path) -> Path:
    """The warehouse that holds the models of a work directory."""
    return NightPaths(work_dir, dt.date.min).warehouse


def promoted(work_dir: Path, name: str, source: Path, *ignored: str) -> str:
    """A copy of a model's files, marked by its name, registered and promoted: its version."""
    folder = work_dir / "models" / name
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*ignored))
    (folder / "note.txt").write_text(name, encoding="utf-8")
    version = model_version(folder)
    model = TrainedModel(
        version=version,
        parent_version=None,
        alignment=None,
        config_hash="0" * 64,
        config={},
        metrics={},
        weights_path=f"models/{name}",
        weights_sha256=weights_sha256(folder),
        decision="accepted",
        reason="a test's own",
    )
    with open_warehouse(registry(work_dir)) as warehouse:
        register_model(warehouse, model)
        promote_model(warehouse, version, work_dir)
    return version
