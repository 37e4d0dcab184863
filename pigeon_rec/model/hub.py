"""Models on the Hugging Face Hub: downloading them at a revision, and uploading a folder.

A download lies in the Hub's own cache, whose folders are named after the commit. Code files and
formats that are not read here are left out. Nothing of a download is run.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pigeon_rec.errors import ModelError, error_text

__all__ = ["PREFIX", "HubModel", "cached_model", "download", "parse", "push_folder"]

PREFIX: Final = "hf://"
"""Begins the name of a Hub model where a path could be meant, as in settings."""

_NAME: Final = r"[A-Za-z0-9][\w.-]*"
_REFERENCE: Final = re.compile(rf"({_NAME}/{_NAME})(?:@([\w./-]+))?")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_NOT_READ: Final = ("*.py", "*.pkl", "*.pickle", "*.h5", "*.onnx", "*.msgpack", "*.pt", "*.pth")


@dataclass(frozen=True)
class HubModel:
    """A model repository at one revision.

    Attributes:
        repository: `owner/name`.
        revision: Branch, tag or commit hash; None for the default branch.
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a commit hash, which never means anything else."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    @property
    def version(self) -> str:
        """The beginning of the model version: the name without a slash, and the revision."""
        return f"{self.repository.replace('/', '--')}@{self.revision}"


def parse(text: str, revision: str | None = None) -> HubModel | None:
    """Reads `owner/name`, `owner/name@revision` or the same after `hf://`; None for anything else.

    Raises:
        ModelError: The text begins with `hf://` but is no such name, or names another revision
            than `revision`.
    """
    found = _REFERENCE.fullmatch(text.removeprefix(PREFIX))
    if found is None:
        if text.startswith(PREFIX):
            raise ModelError(
                f"{text!r} is no name of a model on the Hugging Face Hub",
                remedy=f"Write {PREFIX}owner/name or {PREFIX}owner/name@revision",
            )
        return None
    if revision is not None and found[2] not in (None, revision):
        raise ModelError(f"{text!r} names another revision than {revision!r}")
    return HubModel(found[1], revision or found[2])


def cached_model(folder: Path) -> HubModel | None:
    """Returns the model and commit of a folder in the Hub's cache; None for any other folder."""
    repository, commit = folder.parent.parent.name, folder.name
    if folder.parent.name != "snapshots" or not _COMMIT.fullmatch(commit):
        return None
    kind, _, name = repository.partition("--")
    owner, divider, name = name.partition("--")
    return HubModel(f"{owner}/{name}", commit) if kind == "models" and divider else None


def download(model: HubModel) -> Path:
    """Returns the local folder of a model, after downloading what the cache does not have.

    A commit that is in the cache needs no network. Without a network, a branch is what it was at
    the last download. Credentials, cache, endpoint and offline mode are set as for all users of
    `huggingface_hub` (`HF_TOKEN`, `HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`).

    Raises:
        ModelError: The package is missing, the Hub cannot be reached and the cache does not have
            the model, or repository or revision do not exist or need an access that is not given.
    """
    with _hub_errors(model):
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                model.repository,
                revision=model.revision,
                ignore_patterns=list(_NOT_READ),
                library_name="pigeon-rec",
            )
        )


def push_folder(
    folder: Path,
    repository: str,
    *,
    branch: str | None = None,
    private: bool | None = None,
    message: str = "Upload a Pigeon model",
) -> HubModel:
    """Uploads all files of a model folder in one commit; a missing repository is created.

    Args:
        folder: A saved model.
        repository: `owner/name`.
        branch: Branch to commit to; None for the default one.
        private: Whether a repository that is created here is private; None leaves it to the owner's
            settings.
        message: Message of the commit.

    Returns:
        The model at the commit.

    Raises:
        ModelError: As `download`, or the account may not write there.
    """
    target = HubModel(repository, branch)
    if _REFERENCE.fullmatch(repository) is None or "@" in repository:
        raise ModelError(
            f"{repository!r} is no name of a repository", remedy="Write it as owner/name"
        )
    with _hub_errors(target):
        from huggingface_hub import HfApi

        api = HfApi(library_name="pigeon-rec")
        api.create_repo(repository, private=private, exist_ok=True)
        if branch is not None:
            api.create_branch(repository, branch=branch, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, revision=branch, commit_message=message
        )
    return HubModel(repository, commit.oid)


@contextlib.contextmanager
def _hub_errors(model: HubModel) -> Iterator[None]:
    """Turns what the Hub's package raises into `ModelError`."""
    try:
        from huggingface_hub import errors
    except ImportError as error:
        raise ModelError(
            "models of the Hugging Face Hub need the package huggingface_hub",
            location=str(model),
            remedy="Install it, or give the folder of a model",
        ) from error
    try:
        yield
    except (OSError, ValueError, RuntimeError, _transport(errors)) as error:
        raise _explained(error, model, errors) from error


def _explained(error: Exception, model: HubModel, kinds: Any) -> ModelError:
    place, status = f"{PREFIX}{model}", getattr(getattr(error, "response", None), "status_code", 0)
    unreached = False
    # A gated repository counts as a missing one to the package, so it comes first.
    if isinstance(error, kinds.GatedRepoError):
        what = f"the repository {model.repository!r} is gated: its owner must grant access"
        remedy = f"Ask for access on its page ({_page(model)}), then set HF_TOKEN to your token"
    elif isinstance(error, kinds.RevisionNotFoundError):
        what = f"the repository {model.repository!r} has no revision {model.revision!r}"
        remedy = f"Choose a branch, tag or commit of {_page(model)}"
    elif isinstance(error, kinds.RepositoryNotFoundError) or status in (401, 403):
        what = f"there is no repository {model.repository!r} that this account may use"
        remedy = "Check its name; for a private one set HF_TOKEN to a token with the right to it"
    elif isinstance(error, kinds.IncompleteSnapshotError):
        what = f"only a part of {model.repository!r} is in the cache, and the Hub is out of reach"
        remedy = "Load it once with a network; a download that was interrupted goes on"
    elif isinstance(error, kinds.LocalEntryNotFoundError):
        what = f"the Hub is out of reach, and {str(model)!r} is not in the cache"
        remedy = "Load it once with a network (HF_HUB_OFFLINE unset), or give the folder of a model"
    elif unreached := isinstance(error, (_transport(kinds), ConnectionError)) and not status:
        what, remedy = f"the Hub is out of reach: {error_text(error)}", "Try again with a network"
    else:
        what, remedy = f"the Hugging Face Hub failed: {error_text(error)}", "Try again later"
    passing = unreached or isinstance(error, kinds.LocalEntryNotFoundError) or status >= 500
    return ModelError(what, location=place, remedy=remedy, retryable=passing)


def _transport(kinds: Any) -> type[Exception]:
    """Returns the base of what the transport raises, whichever package the client uses for it."""
    base: type[Exception] = kinds.HfHubHTTPError.__bases__[0]
    return base


def _page(model: HubModel) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{model.repository}"
