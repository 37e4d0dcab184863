"""Folders of models: bundled by name, given by path, or downloaded from the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.errors import ModelError
from pigeon_rec.model.hub import PREFIX, cached_model, download, parse

__all__ = ["is_published", "model_folder", "model_name"]

_BUNDLED = Path(__file__).parent / "weights"


def model_folder(name_or_path: str | Path, revision: str | None = None) -> Path:
    """Returns the folder of a model.

    A bundled name comes first, then a folder, then a repository of the Hub. `hf://owner/name` means
    the Hub only; without the prefix it is asked if there is no folder `owner` either.

    Args:
        name_or_path: Name of a bundled model, folder of a saved or published one, or
            `owner/name` or `owner/name@revision` of the Hub.
        revision: Branch, tag or commit hash of a Hub model.

    Raises:
        ModelError: There is no such model; the message lists the bundled names. Or the Hub cannot
            give it, as `pigeon_rec.model.hub.download`.
    """
    for folder in (_BUNDLED / str(name_or_path), Path(name_or_path)):
        if (folder / "config.json").is_file() or is_published(folder):
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


def is_published(folder: Path) -> bool:
    """Whether the folder has the layout of LaVIT's published weights (docs/published.md)."""
    settings = folder / "language_model" / "config.json"
    return settings.is_file() and not (folder / "config.json").is_file()


def _begins_a_path(text: str) -> bool:
    return (
        not text.startswith(PREFIX)
        and Path(text).parts[:1] != ()
        and (Path(text).is_absolute() or Path(Path(text).parts[0]).is_dir())
    )


def _checked(folder: Path, text: str) -> Path:
    if not (folder / "config.json").is_file() and not is_published(folder):
        raise ModelError(
            f"the repository {text!r} holds no model of this package",
            location=str(folder),
            remedy="Choose one that was saved by pigeon_rec, or has the published layout",
        )
    return folder
