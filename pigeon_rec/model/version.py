"""A model's version: a digest of its files, computed without torch."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.model.hub import cached_model
from pigeon_rec.model.paths import model_folder
from pigeon_rec.runtime.digests import weights_sha256

__all__ = ["model_version"]


def model_version(name_or_path: str | Path) -> str:
    """Returns the version of a model, which is part of every `asset_key`.

    It is `<folder name>-<12 hex digits>`, and for a model from the Hugging Face Hub
    `<owner>--<name>@<commit hash>-<12 hex digits>`. The digits are a digest of names and bytes of
    all files but the model card and its figures.

    Raises:
        ModelError: There is no such model.
    """
    folder = model_folder(name_or_path)
    found = cached_model(folder)
    name = folder.name if found is None else found.version
    return f"{name}-{weights_sha256(folder)[:12]}"
