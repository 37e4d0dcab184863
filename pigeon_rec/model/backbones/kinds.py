"""Kinds of backbones: how a setting names one, and which options each kind has; without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from pigeon_rec.config import BackboneConfig
from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.model.backbones.folders import DiffusersFolder, janus_image_size, read_config
from pigeon_rec.model.paths import BACKBONE, PIPELINE, model_folder

__all__ = [
    "DEFAULTS",
    "Kind",
    "check_options",
    "drawn_size",
    "is_function",
    "kind_of",
    "options_of",
]

Kind = Literal["pigeon", "ip_adapter", "janus", "function"]

_FUNCTION: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "pigeon": {},
        "function": {},
        "ip_adapter": {
            "candidates": 2,
            "steps": 30,
            "guidance": 7.5,
            "strength": 0.7,
            "ip_adapter_scale": 0.6,
            "negative_text": "",
        },
        "janus": {"candidates": 2, "guidance": 5.0, "temperature": 1.0},
    }
)
"""The options of each kind with their defaults."""


def is_function(model: str | Path) -> bool:
    """Whether a setting names a function: `module:function`."""
    return _FUNCTION.fullmatch(str(model)) is not None


def kind_of(model: str | Path) -> Kind:
    """Returns the kind of a bundled model's name, a folder, or `module:function`.

    Raises:
        ModelError: There is no such model, or its `backbone.json` names no kind.
    """
    if is_function(model):
        return "function"
    folder = model_folder(model)
    if (folder / BACKBONE).is_file():
        kind = read_config(folder / BACKBONE).get("kind")
        if kind == "ip_adapter" or kind == "janus":
            return kind
        raise ModelError(
            f"there is no kind {kind!r} of backbones",
            location=str(folder / BACKBONE),
            remedy='Write {"kind": "ip_adapter"} or {"kind": "janus"}',
        )
    if (folder / PIPELINE).is_file():
        return "ip_adapter"
    return "janus" if _is_janus(folder / "config.json") else "pigeon"


def check_options(kind: Kind, options: BackboneConfig) -> None:
    """Checks that a kind has the options that are given.

    Raises:
        ConfigError: It does not, or the values cannot be drawn with.
    """
    unknown = sorted(set(options.given) - set(DEFAULTS[kind]))
    if unknown:
        own = {"pigeon": "Pigeon draws by `generation`", "function": "it has its own code"}
        known = ", ".join(DEFAULTS[kind])
        raise ConfigError(
            f"a model of kind {kind!r} has no option {', '.join(unknown)}",
            location=", ".join(f"backbone.{name}" for name in unknown),
            remedy=f"Leave them out: {own.get(kind, f'its options are {known}')}",
        )
    if kind == "janus" and options_of(kind, options)["guidance"] <= 1.0:
        raise ConfigError(
            "Janus draws with guidance only",
            location="backbone.guidance",
            remedy="Give a number above 1, such as 5",
        )
    if kind == "ip_adapter":
        steps, strength = (options_of(kind, options)[name] for name in ("steps", "strength"))
        if int(steps * strength) < 1:
            raise ConfigError(
                f"{steps} steps at a strength of {strength} are less than one step",
                location="backbone.steps, backbone.strength",
                remedy=f"Give at least {int(1 / strength) + 1} steps, or a larger strength",
            )


def drawn_size(kind: Kind, folder: Path) -> int:
    """Returns the side in pixels of the pictures of a backbone of a library, from its files.

    Raises:
        ModelError: A file is missing or damaged.
    """
    return janus_image_size(folder) if kind == "janus" else DiffusersFolder.find(folder).image_size


def options_of(kind: Kind, options: BackboneConfig) -> dict[str, Any]:
    """Returns all options of a kind: those given, and the defaults of the others."""
    return {**DEFAULTS[kind], **options.given}


def _is_janus(config: Path) -> bool:
    try:
        return read_config(config).get("model_type") == "janus"
    except ModelError:  # whoever reads it as Pigeon's says what is wrong with it
        return False
