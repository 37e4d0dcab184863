"""Folders of models: bundled by name, given by path, or downloaded from the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pigeon_rec.errors import ModelError
from pigeon_rec.model.hub import PREFIX, cached_model, download, parse

__all__ = ["BACKBONE", "PIPELINE", "is_backbone", "is_published", "model_folder", "model_name"]

BACKBONE: Final = "backbone.json"
"""Names the kind of a backbone other than Pigeon, in its folder."""
PIPELINE: Final = "model_index.json"
"""Marks a pipeline in diffusers' layout."""

_BUNDLED = Path(__file__).parent / "weights"


def model_folder(name_or_path: str | Path, revision: str | None = None) -> Path:
    """Returns the folder of a model.

    A bundled name comes first, then a folder, then a repository of the Hub. `hf://owner/name` means
    the Hub only; without the prefix it is asked if there is no folder `owner` either.

    Args:
        name_or_path: Name of a bundled model, folder of any model, or
            `owner/name` or `owner/name@revision` of the Hub.
        revision: Branch, tag or commit hash of a Hub model.

    Raises:
        ModelError: There is no such model; the message lists the bundled names. Or the Hub cannot
            give it, as `pigeon_rec.model.hub.download`.
    """
    for folder in (_BUNDLED / str(name_or_path), Path(name_or_path)):
        if _holds_model(folder):
            if revision is not None:
                raise ModelError(
                    f"only models of the Hugging Face Hub have revisions, received {revision!r}",
                    location=str(folder),
                    remedy=f"Leave the revision out, or write {PREFIX}owner/name",
                )
            return folder
    text = str(name_or_path)
    # A path with a typing error is no reason to ask the Hub.
    if isinstance(name_or_path, str) and not _begins_a_path(text):
        found = parse(text, revision)
        if found is not None:
            return _checked(download(found), text)
    names = ", ".join(sorted(p.parent.name for p in _BUNDLED.glob("*/config.json")))
    raise ModelError(
        f"there is no model {text!r}",
        location=text,
        remedy=f"Give a folder with a config.json, one of the bundled models ({names}), or "
        f"{PREFIX}owner/name of the Hugging Face Hub",
    )


def model_name(folder: Path) -> str:
    """Returns the name of a model's folder; for one from the Hub, repository and commit."""
    found = cached_model(folder)
    return folder.name if found is None else str(found)


def is_backbone(folder: Path) -> bool:
    """Whether a file of the folder says that it is a backbone other than Pigeon."""
    return any((folder / name).is_file() for name in (BACKBONE, PIPELINE))


def is_published(folder: Path) -> bool:
    """Whether the folder has the layout of LaVIT's published weights (docs/published.md)."""
    settings = folder / "language_model" / "config.json"
    ours = (folder / "config.json").is_file() or is_backbone(folder)
    return settings.is_file() and not ours


def _holds_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() or is_published(folder) or is_backbone(folder)


def _begins_a_path(text: str) -> bool:
    return (
        not text.startswith(PREFIX)
        and Path(text).parts[:1] != ()
        and (Path(text).is_absolute() or Path(Path(text).parts[0]).is_dir())
    )


def _checked(folder: Path, text: str) -> Path:
    if not _holds_model(folder):
        raise ModelError(
            f"the repository {text!r} holds no model of this package",
            location=str(folder),
            remedy="Choose one that was saved by pigeon_rec, or has the published layout",
        )
    return folder
