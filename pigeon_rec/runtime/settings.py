"""Settings: frozen pydantic models, read from YAML and checked whole before any work starts."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pigeon_rec.errors import ConfigError
from pigeon_rec.runtime.storage import check_location

__all__ = [
    "Count",
    "Fraction",
    "LocalPath",
    "NotNegative",
    "Positive",
    "Settings",
    "check_settings",
    "is_query",
    "location_or",
    "path_or",
    "read_mapping",
    "read_settings",
]

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]

_RENAMED = "renamed_setting"
_RANGE = (-(2**31), 2**31 - 1)
_SEEDS = (0, 2**63 - 1)
_QUERY = re.compile(r"\s*(select|from|with)\s", re.IGNORECASE)


class Settings(BaseModel):
    """Base of all settings: immutable, and unknown names are refused.

    Whole numbers have 32 bits, a `seed` 63; numbers are finite; a text has no null character.

    Attributes:
        renamed: Old name -> new name of settings that were renamed. An old name is refused with
            a message that gives the new one.
    """

    # The input could be an address with a password; `check_settings` shows it without.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_names(cls, values: Any) -> Any:
        given = values if isinstance(values, Mapping) else {}
        old = [name for name in cls.renamed if name in given]
        if old:
            text = "; ".join(f"`{name}` is now `{cls.renamed[name]}`" for name in old)
            raise PydanticCustomError(_RENAMED, "{text}", {"text": text})
        return values

    @field_validator("*", mode="after")
    @classmethod
    def _check_range(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, int):
            low, high = _SEEDS if info.field_name == "seed" else _RANGE
            if not low <= value <= high:
                raise ValueError(f"it must be from {low} to {high}")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("it cannot contain a null character")
        return value


_Kind = TypeVar("_Kind", bound=BaseModel)


_FOLDER = "folder"


def _from_file(path: Path, info: ValidationInfo) -> Path:
    """Expands `~`, and takes a relative path as seen from the file that it is written in."""
    expanded = path.expanduser()
    found = Path(info.context[_FOLDER], expanded) if info.context else expanded
    # Messages are easier to read without `..`, which follows links.
    return Path(os.path.realpath(found)) if info.context and ".." in found.parts else found


LocalPath = Annotated[Path, AfterValidator(_from_file)]
"""A path; written in a YAML file, it is relative to that file."""


def is_query(text: str) -> bool:
    """Returns whether a setting that may be a path is a query instead."""
    return _QUERY.match(text) is not None


def path_or(*words: str, bare_names: bool = False, hub: bool = False) -> AfterValidator:
    """Makes the validator of a setting that is one of `words`, a path, or a query (`SELECT ...`).

    Paths are treated as `LocalPath`. With `bare_names`, a text without a slash, and without a
    suffix `.yaml`, is a name and not a path. With `hub`, so is one that begins with `hf://`.
    """

    def check(value: str, info: ValidationInfo) -> str:
        is_name = bare_names and "/" not in value and not value.endswith((".yaml", ".yml"))
        if value in words or is_name or is_query(value) or (hub and value.startswith("hf://")):
            return value
        return str(_from_file(Path(value), info))

    return AfterValidator(check)


def location_or(word: str | None = None) -> AfterValidator:
    """Makes the validator of a setting that is either `word`, if given, or an fsspec location."""

    def check(value: str) -> str:
        try:
            return value if value == word else check_location(value)
        except ConfigError as error:
            what = "not" if word is None else f"neither `{word}` nor"
            raise ValueError(f"{what} a usable location: {error}") from error

    return AfterValidator(check)


def read_settings(kind: type[_Kind], path: Path, advice: str) -> _Kind:
    """Reads a YAML file as settings of one kind; an empty file gives the defaults.

    Relative paths in it are seen from its folder. `advice` is the remedy in the message about a
    missing file.

    Raises:
        ConfigError: The file is missing or not a YAML mapping, or as `check_settings`.
    """
    raw = read_mapping(path, "configuration", advice)
    return check_settings(kind, raw, str(path), folder=path.absolute().parent)


def read_mapping(path: Path, what: str, advice: str | None = None) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping with texts as its keys; an empty file gives `{}`.

    Args:
        path: The file.
        what: What it is, for messages: `configuration`.
        advice: Remedy in the message about a missing file.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or holds something else.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the {what}: {error.strerror}", location=str(path), remedy=advice
        ) from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # Of a value that no Python object can hold, such as 2026-13-01, or of deep nesting.
        raise ConfigError(f"the {what} is not valid YAML", location=f"{path}: {error}") from error
    if not isinstance(raw, dict | None):
        raise ConfigError(f"the {what} must be a mapping of settings", location=str(path))
    if strange := [name for name in raw or {} if not isinstance(name, str)]:
        raise ConfigError(
            f"the {what} has a setting whose name is no text: {_shown(strange[0])}",
            location=str(path),
        )
    return raw or {}


def check_settings(
    kind: type[_Kind], values: Mapping[str, Any], location: str, *, folder: Path | None = None
) -> _Kind:
    """Checks values, which come from `location`, as settings of one kind.

    Relative paths are seen from `folder`, if it is given.

    Raises:
        ConfigError: A setting is unknown, renamed or out of range; the message names each
            setting, the value received and what is allowed.
    """
    try:
        return kind.model_validate(values, context=folder and {_FOLDER: folder})
    except ValidationError as error:
        raise ConfigError(
            "; ".join(_problem(e) for e in error.errors()),
            location=location,
            remedy=f"See docs/settings.md, or the fields of {kind.__module__}.{kind.__name__}",
        ) from error


def _shown(value: object) -> str:
    """The value in words, not too many: by aliases a short YAML file is as long as one likes."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 500
    short.maxlevel, short.maxlist, short.maxdict = 3, 10, 10
    return short.repr(value)


def _problem(error: Mapping[str, Any]) -> str:
    name = ".".join(map(str, error["loc"]))
    text = f"{name}: {error['msg']}" if name else str(error["msg"])
    # The value of a renamed setting is fine, and pydantic reports the whole group as input.
    return text if error["type"] == _RENAMED else f"{text} (received {_shown(error['input'])})"
