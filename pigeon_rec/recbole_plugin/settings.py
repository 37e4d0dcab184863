"""The `pigeon_*` settings of a RecBole configuration, validated before any work."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from pigeon_rec.errors import ConfigError

__all__ = ["PigeonSettings", "default_settings"]

_DEFAULTS: Final = Path(__file__).with_name("properties.yaml")
_LEARNED: Final = "learned"


@dataclass(frozen=True)
class PigeonSettings:
    """The settings of `properties.yaml` as typed values.

    Attributes:
        base_model: The wrapped model: a name of RecBole's, `module:Class`, or a class.
        visual_weight: Fixed weight of the affinity, at least 0; `None` if it is learned.
        features: File of item vectors; `None` for `<dataset>.<suffix>` beside the data set.
        min_coverage: Least share of the data set's items that must have a vector.
        visual_suffix: Suffix of the file of item vectors.
        visual_id_field: Its item id field.
        visual_field: Its vector field.
        neighbours: Nearest items retrieved for every interacted item.
        max_history: Newest interactions of a user that are used, for general bases.
        half_life: Number of newer interactions that halves an interaction's weight; infinite for
            equal weights.
        served: Serving DuckDB file whose assets replace the item's image for their user.
        encoder: Model whose scorer encodes the served assets.
    """

    base_model: str | type[Any]
    visual_weight: float | None
    features: Path | None
    min_coverage: float
    visual_suffix: str
    visual_id_field: str
    visual_field: str
    neighbours: int
    max_history: int
    half_life: float
    served: Path | None
    encoder: str

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> PigeonSettings:
        """Reads the `pigeon_*` keys; missing ones have their defaults.

        Args:
            config: Keys and values, such as RecBole's `final_config_dict`.

        Raises:
            ConfigError: A `pigeon_*` key is unknown, or a value is of the wrong type or out of
                range; the message names the key, the value and the allowed values.
        """
        defaults = default_settings()
        given = {key: value for key, value in config.items() if key.startswith("pigeon_")}
        unknown = sorted(set(given) - set(defaults))
        if unknown:
            raise ConfigError(
                f"unknown pigeon_* settings: {', '.join(unknown)}",
                location=unknown[0],
                remedy=f"Known settings: {', '.join(sorted(defaults))}",
            )
        values = {**defaults, **given}
        read = {
            key.removeprefix("pigeon_"): _READERS.get(key, _text)(key, value)
            for key, value in values.items()
        }
        return cls(**read)


def default_settings() -> dict[str, Any]:
    """Returns the defaults of all `pigeon_*` keys, from `properties.yaml`."""
    defaults: dict[str, Any] = yaml.safe_load(_DEFAULTS.read_text(encoding="utf-8"))
    return defaults


def _weight(key: str, value: Any) -> float | None:
    if isinstance(value, str) and value == _LEARNED:
        return None
    return _number(key, value, f"a number of at least 0, or {_LEARNED!r}", least=0.0)


def _half_life(key: str, value: Any) -> float:
    if value is None:
        return math.inf
    number = _number(key, value, "a number above 0, or ~", least=0.0)
    if number == 0.0:
        raise _invalid(key, value, "a number above 0, or ~")
    return number


def _count(key: str, value: Any) -> int:
    number = _number(key, value, "a whole number of at least 1", least=1.0)
    if number != int(number):
        raise _invalid(key, value, "a whole number of at least 1")
    return int(number)


def _number(key: str, value: Any, allowed: str, *, least: float) -> float:
    value = value.item() if isinstance(value, np.generic) else value  # of a tuner, for example
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    if not usable or not math.isfinite(value) or value < least:
        raise _invalid(key, value, allowed)
    return float(value)


def _share(key: str, value: Any) -> float:
    number = _number(key, value, "a share from 0 to 1", least=0.0)
    if number > 1.0:
        raise _invalid(key, value, "a share from 0 to 1")
    return number


def _path(key: str, value: Any) -> Path | None:
    return None if value is None else Path(_text(key, value))


def _model(key: str, value: Any) -> str | type[Any]:
    return value if isinstance(value, type) else _text(key, value)


def _text(key: str, value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value:
        raise _invalid(key, value, "a non-empty string")
    return value


def _invalid(key: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(f"{key} must be {allowed}, received {value!r}", location=key)


_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "pigeon_base_model": _model,
    "pigeon_features": _path,
    "pigeon_half_life": _half_life,
    "pigeon_max_history": _count,
    "pigeon_min_coverage": _share,
    "pigeon_neighbours": _count,
    "pigeon_served": _path,
    "pigeon_visual_weight": _weight,
}
