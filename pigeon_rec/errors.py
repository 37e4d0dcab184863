"""The error hierarchy: every message says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
import re
from typing import ClassVar, Final

__all__ = [
    "CatalogueError",
    "ConfigError",
    "ImageError",
    "InteractionError",
    "ModelError",
    "PigeonError",
    "PlanError",
    "RetrievalError",
    "StorageError",
    "TrainingError",
    "WarehouseError",
    "error_text",
    "may_pass",
    "storage_error",
]

_LONGEST: Final = 300
# The password of an address; what looks like one may be the port of an address without an account.
_PASSWORD: Final = re.compile(r"""(\w://[^\s/:@'"]*:)(?!\d+(?:/|\Z))[^\s'"]+@""")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PERMANENT: Final = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
        *(errno.EEXIST, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV, errno.ENXIO),
        errno.EFBIG,
    }
)


class PigeonError(Exception):
    """Base of all errors that the package raises; bugs raise other exceptions.

    Attributes:
        what: The problem, as one sentence without a full stop.
        location: Where it is: path, address, row, setting or id; None if unknown.
        remedy: What the reader can do, as one sentence without a full stop; None if nothing.
        exit_code: Exit status of the command line.
        retryable: Whether the same step may succeed later without a change; of the class, unless
            given for this error.

    Passwords of addresses are left out of all texts.
    """

    exit_code: ClassVar[int] = 1
    retryable: bool = False

    def __init__(
        self,
        what: str,
        *,
        location: str | None = None,
        remedy: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        self.what = _without_passwords(what)
        self.location = None if location is None else _without_passwords(location)
        self.remedy = None if remedy is None else _without_passwords(remedy)
        if retryable is not None:
            self.retryable = retryable
        super().__init__(self.what, self.location, self.remedy)

    def __str__(self) -> str:
        place = f" [{self.location}]" if self.location else ""
        advice = f". {self.remedy}" if self.remedy else ""
        return f"{self.what}{place}{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        # The default cannot pickle keyword-only arguments, which worker processes need.
        return (_rebuild, (type(self), self.what, self.location, self.remedy, self.retryable))


def _rebuild(
    kind: type[PigeonError],
    what: str,
    location: str | None,
    remedy: str | None,
    retryable: bool,
) -> PigeonError:
    return kind(what, location=location, remedy=remedy, retryable=retryable)


def _without_passwords(text: str) -> str:
    return _PASSWORD.sub(r"\1***@", text)


class ConfigError(PigeonError, ValueError):
    """A setting is unknown, has the wrong type or is out of range; raised before any work."""

    exit_code = 2


class CatalogueError(PigeonError):
    """The catalogue cannot be read or violates its schema."""

    exit_code = 3


class InteractionError(PigeonError):
    """The interactions cannot be read or violate their schema."""

    exit_code = 3


class ImageError(PigeonError):
    """An image is missing, corrupt, too large, or does not match its hash."""

    exit_code = 3


class RetrievalError(PigeonError):
    """Embeddings or the history index do not match the request."""

    exit_code = 3


class PlanError(PigeonError):
    """A night has nothing to draw, or its recommendations or plan are unusable."""

    exit_code = 3


class ModelError(PigeonError):
    """Weights or configuration of a model are missing or do not match."""

    exit_code = 4


class TrainingError(PigeonError):
    """A training run cannot start, resume or continue."""

    exit_code = 4


class StorageError(PigeonError):
    """A file or folder cannot be read or written: a full disk, a missing right, a damaged file."""

    exit_code = 3


class WarehouseError(PigeonError):
    """The DuckDB warehouse is missing, locked, inconsistent or of another version."""

    exit_code = 5


def may_pass(error: OSError) -> bool:
    """Returns whether the same access may succeed later: a full disk, a network, an object store.

    A missing or forbidden file stays so.
    """
    kinds = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
    return not isinstance(error, (*kinds, PermissionError)) and error.errno not in _PERMANENT


def storage_error(error: OSError, location: str) -> StorageError:
    """Returns the error of a file that cannot be read or written.

    The path is that of `error`, or else `location`.
    """
    why = error.strerror or error_text(error)
    path = os.path.abspath(os.fsdecode(error.filename)) if error.filename else location  # noqa: PTH100
    if error.errno in _FULL:
        remedy = "Free space on that disk, or choose another work directory, then run this again"
    elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
        remedy = "Give this account the right to use it, or choose another work directory"
    else:
        remedy = "Check the path and its disk, then run this again"
    return StorageError(
        f"cannot read or write a file: {why}",
        location=path,
        remedy=remedy,
        retryable=may_pass(error),
    )


def error_text(error: BaseException) -> str:
    """Returns the message of an error for a table, without what differs between two equal runs.

    Memory addresses are left out, lines are joined and long texts cut; an error without a message
    gives the name of its class.
    """
    text = " ".join(re.sub(r" ?<[^<>]* at 0x[0-9a-fA-F]+>", "", str(error)).split())
    return text[:_LONGEST] or type(error).__name__
