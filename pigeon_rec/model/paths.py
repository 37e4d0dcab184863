"""Folders of models, bundled by name or given by path."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.errors import ModelError

__all__ = ["is_published", "model_folder"]

_BUNDLED = Path(__file__).parent / "weights"


def model_folder(name_or_path: str | Path) -> Path:
    """Returns the folder of a bundled model's name, or of a saved or published model's path.

    Raises:
        ModelError: There is no such model; the message lists the bundled names.
    """
    for folder in (_BUNDLED / str(name_or_path), Path(name_or_path)):
        if (folder / "config.json").is_file() or is_published(folder):
            return folder
    names = ", ".join(sorted(p.parent.name for p in _BUNDLED.glob("*/config.json")))
    raise ModelError(
        f"there is no model {str(name_or_path)!r}",
        location=str(name_or_path),
        remedy=f"Give a folder with a config.json, or one of the bundled models: {names}",
    )


def is_published(folder: Path) -> bool:
    """Whether the folder has the layout of LaVIT's published weights (docs/published.md)."""
    settings = folder / "language_model" / "config.json"
    return settings.is_file() and not (folder / "config.json").is_file()
