"""Loads a model of either layout: our own or the published one."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.errors import ModelError
from pigeon_rec.model.backbones.kinds import kind_of
from pigeon_rec.model.base import BATCH_SIZE
from pigeon_rec.model.paths import is_published, model_folder
from pigeon_rec.model.pipeline import PigeonPipeline, Pipeline
from pigeon_rec.model.published.load import load_published
from pigeon_rec.placement import Placement

__all__ = ["load_pipeline"]


def load_pipeline(
    name_or_path: str | Path,
    batch_size: int = BATCH_SIZE,
    placement: Placement | None = None,
    *,
    revision: str | None = None,
) -> Pipeline:
    """Loads a bundled model by name, a saved or published one by folder, or one from the Hub.

    A published folder is LaVIT's with Pigeon's checkpoint in it; see `load_published`. `revision`
    is a branch, tag or commit hash of a Hub model `owner/name`.

    Raises:
        ModelError: There is no such model, a file is missing, weights and configuration do not fit,
            or the placement is not possible on this machine or with this model.
    """
    folder = model_folder(name_or_path, revision)
    kind = kind_of(folder)
    if kind != "pigeon":
        raise ModelError(
            f"a backbone of kind {kind!r} is none of Pigeon's models",
            location=str(folder),
            remedy="It can be the `model` of a night; training and alignment need one of Pigeon's",
        )
    if is_published(folder):
        return load_published(folder, batch_size=batch_size, placement=placement)
    return PigeonPipeline.from_pretrained(folder, batch_size, placement)
