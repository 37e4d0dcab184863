"""Folders of models, bundled by name or given by path."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pigeon_rec.errors import ModelError

__all__ = ["BACKBONE", "PIPELINE", "is_backbone", "is_published", "model_folder"]

BACKBONE: Final = "backbone.json"
"""Names the kind of a backbone other than Pigeon, in its folder."""
PIPELINE: Final = "model_index.json"
"""Marks a pipeline in diffusers' layout."""

_BUNDLED = Path(__file__).parent / "weights"


def model_folder(name_or_path: str | Path) -> Path:
    """Returns the folder of a bundled model's name, or of the path of any model.

    Raises:
        ModelError: There is no such model; the message lists the bundled names.
    """
    for folder in (_BUNDLED / str(name_or_path), Path(name_or_path)):
        if (folder / "config.json").is_file() or is_published(folder) or is_backbone(folder):
            return folder
    names = ", ".join(sorted(p.parent.name for p in _BUNDLED.glob("*/config.json")))
    raise ModelError(
        f"there is no model {str(name_or_path)!r}",
        location=str(name_or_path),
        remedy=f"Give a folder with a config.json, or one of the bundled models: {names}",
    )


def is_backbone(folder: Path) -> bool:
    """Whether a file of the folder says that it is a backbone other than Pigeon."""
    return any((folder / name).is_file() for name in (BACKBONE, PIPELINE))


def is_published(folder: Path) -> bool:
    """Whether the folder has the layout of LaVIT's published weights (docs/published.md)."""
    settings = folder / "language_model" / "config.json"
    ours = (folder / "config.json").is_file() or is_backbone(folder)
    return settings.is_file() and not ours
