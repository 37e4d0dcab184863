"""A team's own backbone, by the name `module:function` of the function that loads it."""

from __future__ import annotations

import importlib
import re
from typing import Any, Final

from pigeon_rec.config import GenerationConfig
from pigeon_rec.errors import ConfigError
from pigeon_rec.model.backbones.protocol import Backbone, Candidates, PictureRequests
from pigeon_rec.placement import Placement

__all__ = ["OwnBackbone", "load_own"]

_VERSION: Final = re.compile(r"[\w.+-]{1,100}")
_REMEDY: Final = "docs/backbones.md has a backbone of ten lines to start from"


class OwnBackbone:
    """A team's backbone with the name of its function in its version.

    Args:
        name: `module:function`, so that two backbones never have one version.
        backbone: What the function returned.
    """

    def __init__(self, name: str, backbone: Backbone) -> None:
        self._backbone = backbone
        self.version = f"{name}-{backbone.version}"
        self.image_size = backbone.image_size
        self.bit_exact = backbone.bit_exact

    def draw(self, requests: PictureRequests, generation: GenerationConfig) -> Candidates:
        drawn = self._backbone.draw(requests, generation)
        if not isinstance(drawn, Candidates):
            raise _unusable(self.version, f"drew a {type(drawn).__name__}, not `Candidates`")
        return drawn


def load_own(name: str, placement: Placement) -> OwnBackbone:
    """Imports a function and calls it with the placement.

    Raises:
        ConfigError: The function cannot be imported, raises, or returns no backbone.
    """
    module, _, function = name.partition(":")
    try:
        load = getattr(importlib.import_module(module), function)
    except Exception as error:
        raise ConfigError(
            f"the backbone {name!r} cannot be imported ({type(error).__name__}: {error})",
            location="model",
            remedy="Name it as module:function, and install the module or put its folder on "
            "PYTHONPATH wherever pigeon_rec runs",
        ) from error
    try:
        found = load(placement)
    except Exception as error:
        raise _unusable(name, f"raised {type(error).__name__}: {error}") from error
    _check(name, found)
    return OwnBackbone(name, found)


def _check(name: str, found: object) -> None:
    if not isinstance(found, Backbone):
        lacks = [part for part in _PARTS if not hasattr(found, part)]
        raise _unusable(name, f"returned a {type(found).__name__} without {', '.join(lacks)}")
    facts: tuple[Any, ...] = (found.version, found.image_size, found.bit_exact)
    version, side, exact = facts  # of any type: nothing but their names has been checked
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise _unusable(name, f"has the version {version!r}, not 1 to 100 letters, digits, `.+-_`")
    if not isinstance(side, int) or isinstance(side, bool) or side < 1:
        raise _unusable(name, f"has the image_size {side!r}, not a number of pixels")
    if not isinstance(exact, bool):
        raise _unusable(name, f"has bit_exact {exact!r}, neither true nor false")


_PARTS: Final = ("version", "image_size", "bit_exact", "draw")


def _unusable(name: str, fault: str) -> ConfigError:
    return ConfigError(f"the backbone {name!r} {fault}", location="model", remedy=_REMEDY)
