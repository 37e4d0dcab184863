"""Backbones other than Pigeon as baselines: each draws and chooses as a night with it would."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.errors import ConfigError
from pigeon_rec.evaluation.methods import BASELINES
from pigeon_rec.evaluation.settings import BaselineConfig, EvaluationSettings
from pigeon_rec.model.backbones.kinds import check_options, is_function, kind_of
from pigeon_rec.model.backbones.load import load_backbone
from pigeon_rec.model.backbones.protocol import Backbone
from pigeon_rec.model.version import model_version
from pigeon_rec.runtime.digests import digest

__all__ = [
    "baseline_models",
    "baseline_version",
    "check_models",
    "load_baseline",
    "missing_baselines",
    "resized",
]


def baseline_models(settings: EvaluationSettings) -> dict[str, BaselineConfig]:
    """Returns the baselines that are to be drawn and have a model, by method."""
    return {name: own for name, own in _asked(settings) if own.model is not None}


def missing_baselines(settings: EvaluationSettings) -> dict[str, str]:
    """Returns the baselines that are to be drawn and have no model -> what they lack."""
    return {
        name: f"give its model as `{name}.model`, or by `--{name.replace('_', '-')}`"
        for name, own in _asked(settings)
        if own.model is None
    }


def check_models(settings: EvaluationSettings) -> None:
    """Checks that the evaluated model is Pigeon's, and each baseline of its kind.

    Raises:
        ConfigError: It is not, or it has no such option.
        ModelError: There is no such model.
    """
    if kind_of(settings.model) != "pigeon":
        raise ConfigError(
            f"the evaluated model is a backbone of kind {kind_of(settings.model)!r}",
            location="model",
            remedy="Evaluate one of Pigeon's models, and give the backbone as a baseline: "
            "--ip-adapter, --janus or --own-backbone",
        )
    for name, own in baseline_models(settings).items():
        kind = kind_of(str(own.model))
        if kind != BASELINES[name]:
            raise ConfigError(
                f"the baseline {name!r} needs a model of kind {BASELINES[name]!r}, not {kind!r}",
                location=f"{name}.model: {own.model}",
            )
        check_options(kind, own)


def load_baseline(config: BaselineConfig) -> Backbone:
    """Loads the backbone of a baseline.

    Raises:
        PigeonError: As `load_backbone`.
    """
    return load_backbone(str(config.model), config.placement, config)


def baseline_version(config: BaselineConfig) -> str:
    """Identifies what a baseline draws: weights, options and arithmetic."""
    model = str(config.model)
    version = load_baseline(config).version if is_function(model) else model_version(model)
    return f"{version}-{digest([config.given, config.placement.arithmetic])[:12]}"


def resized(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Resizes squares uint8 `[n, H, H, 3]`, so that all methods are measured at one side."""
    if images.shape[1] == side:
        return images
    size, way = (side, side), Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(image).resize(size, way)) for image in images])


def _asked(settings: EvaluationSettings) -> Iterator[tuple[str, BaselineConfig]]:
    return ((name, getattr(settings, name)) for name in settings.methods if name in BASELINES)
