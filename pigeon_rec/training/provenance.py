"""Digests of the weights and settings that something was made with."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pigeon_rec.errors import TrainingError
from pigeon_rec.runtime.digests import file_sha256
from pigeon_rec.training.configuration import TrainingConfig

__all__ = ["PICTURE_RECIPES", "pairs_config_hash", "weights_digest"]

PICTURE_RECIPES = ("tokenizer", "renderer", "scorer", "reconstruct")
"""Recipes whose weights draw and score the candidates of stage 1."""


def weights_digest(folder: Path, *recipes: str) -> str:
    """SHA-256 over the weights of the given recipes.

    Raises:
        TrainingError: One of them has not been trained in `folder`.
    """
    digest = hashlib.sha256()
    for name in recipes:
        path = folder / name / "model.safetensors"
        try:
            digest.update(bytes.fromhex(file_sha256(path)))
        except OSError as error:
            raise TrainingError(
                f"the weights of recipe {name!r} cannot be read",
                location=str(path),
                remedy=f"Train it first: pigeon-rec train {name}",
            ) from error
    return digest.hexdigest()


def pairs_config_hash(config: TrainingConfig) -> str:
    """SHA-256 over the settings that determine the preference pairs."""
    settings = config.model_dump_json(
        include={"model": True, "scorer": True, "users": True, "pairs": True},
        exclude={"pairs": {"minutes", "share"}},
    )
    return hashlib.sha256(settings.encode()).hexdigest()
