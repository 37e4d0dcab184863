"""The error hierarchy: every message says what was wrong, where, and what to do."""

from __future__ import annotations

from typing import ClassVar

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
]


class PigeonError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        what: What was wrong, as one sentence without a full stop.
        location: The file, row, field or id at fault, if one is known.
        remedy: What the reader can do about it, if anything.
        exit_code: Process exit status of the command line for this kind of error.
        retryable: Whether running the same step again may succeed without a change.
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
        # Keyword-only facts survive pickling between worker processes.
        return (_rebuild, (type(self), self.what, self.location, self.remedy))


def _rebuild(
    kind: type[PigeonError], what: str, location: str | None, remedy: str | None
) -> PigeonError:
    return kind(what, location=location, remedy=remedy)


class ConfigError(PigeonError, ValueError):
    """A setting is unknown, of the wrong type or out of range; raised before any work."""

    exit_code = 2


class CatalogueError(PigeonError):
    """The catalogue cannot be read or breaks its schema."""

    exit_code = 3


class InteractionError(PigeonError):
    """The interactions cannot be read or break their schema."""

    exit_code = 3


class ImageError(PigeonError):
    """One image is missing, corrupt, too large or not what its hash says."""

    exit_code = 3


class RetrievalError(PigeonError):
    """Embeddings or the history index do not fit the request."""

    exit_code = 3


class PlanError(PigeonError):
    """The night has nothing to do or its candidates are unusable."""

    exit_code = 3


class ModelError(PigeonError):
    """Weights or a model's configuration are missing or do not fit together."""

    exit_code = 4


class TrainingError(PigeonError):
    """A training run cannot start, resume or go on."""

    exit_code = 4


class WarehouseError(PigeonError):
    """The DuckDB warehouse is missing, locked, of another version or inconsistent."""

    exit_code = 5
