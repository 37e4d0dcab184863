"""Settings: frozen pydantic models, read from YAML and checked whole before any work starts."""

from __future__ import annotations

import os
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
    model_validator,
)
from pydantic_core import PydanticCustomError

from pigeon_rec.errors import ConfigError
from pigeon_rec.runtime.storage import check_location

__all__ = [
    "Count",
    "FileOrName",
    "Fraction",
    "NotNegative",
    "Positive",
    "Settings",
    "check_settings",
    "location_or",
    "names_a_file",
    "read_settings",
]

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]

_RENAMED = "renamed_setting"


def names_a_file(text: str) -> bool:
    """Whether a setting is the path of a YAML file, and not the name of something bundled."""
    return text.endswith((".yaml", ".yml")) or "/" in text or os.sep in text


def _beside_the_settings(text: str, info: ValidationInfo) -> str:
    folder = (info.context or {}).get("folder")
    return str(Path(folder, text)) if folder is not None and names_a_file(text) else text


FileOrName = Annotated[str, AfterValidator(_beside_the_settings)]
"""A bundled name, or the path of a YAML file: in a settings file, relative to the file's folder."""


class Settings(BaseModel):
    """Base of all settings: immutable, and unknown names are refused.

    Attributes:
        renamed: Old name -> new name of settings that were renamed. An old name is refused with
            a message that gives the new one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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


_Kind = TypeVar("_Kind", bound=BaseModel)


def location_or(word: str) -> AfterValidator:
    """Makes the validator of a setting that is either `word` or an fsspec location."""

    def check(value: str) -> str:
        try:
            return value if value == word else check_location(value)
        except ConfigError as error:
            raise ValueError(f"neither `{word}` nor a usable location: {error}") from error

    return AfterValidator(check)


def read_settings(kind: type[_Kind], path: Path, advice: str) -> _Kind:
    """Reads a YAML file as settings of one kind; an empty file gives the defaults.

    Paths of type `FileOrName` are relative to the folder of the file. `advice` is the remedy in
    the message about a missing file.

    Raises:
        ConfigError: The file is missing or not a YAML mapping, or as `check_settings`.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration: {error.strerror}", location=str(path), remedy=advice
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the configuration is not valid YAML", location=f"{path}: {error}"
        ) from error
    if not isinstance(raw, dict | None):
        raise ConfigError("the configuration must be a mapping of settings", location=str(path))
    return check_settings(kind, raw or {}, str(path), folder=path.parent)


def check_settings(
    kind: type[_Kind], values: Mapping[str, Any], location: str, *, folder: Path | None = None
) -> _Kind:
    """Checks values, which come from `location`, as settings of one kind.

    Relative paths of type `FileOrName` start from `folder`; None is the current one.

    Raises:
        ConfigError: A setting is unknown, renamed or out of range; the message names each
            setting, the value received and what is allowed.
    """
    try:
        return kind.model_validate(values, context={"folder": folder})
    except ValidationError as error:
        raise ConfigError(
            "; ".join(_problem(e) for e in error.errors()),
            location=location,
            remedy=f"See docs/settings.md, or the fields of {kind.__module__}.{kind.__name__}",
        ) from error


def _problem(error: Mapping[str, Any]) -> str:
    name = ".".join(map(str, error["loc"]))
    text = f"{name}: {error['msg']}" if name else str(error["msg"])
    # The value of a renamed setting is fine, and pydantic reports the whole group as input.
    return text if error["type"] == _RENAMED else f"{text} (received {error['input']!r})"
