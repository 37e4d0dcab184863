"""The error hierarchy: every message says what is wrong, where, and what to do."""

from __future__ import annotations

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
    "TrainingError",
    "WarehouseError",
    "error_text",
]

_LONGEST: Final = 300


class PigeonError(Exception):
    """Base of all errors that the package raises; bugs raise other exceptions.

    Attributes:
        what: The problem, as one sentence without a full stop.
        location: Where it is: path, address, row, setting or id; None if unknown.
        remedy: What the reader can do, as one sentence without a full stop; None if nothing.
        exit_code: Exit status of the command line.
        retryable: Whether the same step may succeed later without a change.
    """

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(
        self, what: str, *, location: str | None = None, remedy: str | None = None
    ) -> None:
        self.what = what
        self.location = location
        self.remedy = remedy
        super().__init__(what, location, remedy)

    def __str__(self) -> str:
        place = f" [{self.location}]" if self.location else ""
        advice = f". {self.remedy}" if self.remedy else ""
        return f"{self.what}{place}{advice}"

    def __reduce__(self) -> tuple[object, ...]:
        # The default cannot pickle keyword-only arguments, which worker processes need.
        return (_rebuild, (type(self), self.what, self.location, self.remedy))


def _rebuild(
    kind: type[PigeonError], what: str, location: str | None, remedy: str | None
) -> PigeonError:
    return kind(what, location=location, remedy=remedy)


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


class WarehouseError(PigeonError):
    """The DuckDB warehouse is missing, locked, inconsistent or of another version."""

    exit_code = 5


def error_text(error: BaseException) -> str:
    """Returns the message of an error for a table, without what differs between two equal runs.

    Memory addresses are left out, lines are joined and long texts cut; an error without a message
    gives the name of its class.
    """
    text = " ".join(re.sub(r" ?<[^<>]* at 0x[0-9a-fA-F]+>", "", str(error)).split())
    return text[:_LONGEST] or type(error).__name__
