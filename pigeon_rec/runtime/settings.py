"""Settings: frozen pydantic models, read from YAML and checked whole before any work starts."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pigeon_rec.errors import ConfigError

__all__ = ["Settings", "read_settings"]


class Settings(BaseModel):
    """Base of all settings: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


_Kind = TypeVar("_Kind", bound=BaseModel)


def read_settings(kind: type[_Kind], path: Path, advice: str) -> _Kind:
    """Reads a YAML file as settings of one kind, checked whole.

    Args:
        kind: The pydantic model of the file.
        path: The file.
        advice: What to do where there is no such file.

    Raises:
        ConfigError: The file is missing or no YAML mapping, a key is unknown, or a value is
            out of range; the message names the field, the value received and what is allowed.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration: {error.strerror}", location=str(path), remedy=advice
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the configuration is no valid YAML", location=f"{path}: {error}"
        ) from error
    if not isinstance(raw, dict | None):
        raise ConfigError("the configuration must be a mapping of settings", location=str(path))
    try:
        return kind.model_validate(raw or {})
    except ValidationError as error:
        raise ConfigError(
            "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']} (received {e['input']!r})"
                for e in error.errors()
            ),
            location=str(path),
            remedy=f"See the fields of {kind.__module__}.{kind.__name__}",
        ) from error
