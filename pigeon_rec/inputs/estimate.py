"""Estimates what a night will draw: number, time and size of its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pigeon_rec.config import NightlyConfig
from pigeon_rec.model.backbones.kinds import drawn_size, kind_of
from pigeon_rec.model.configuration import PigeonConfig
from pigeon_rec.model.paths import is_published, model_folder
from pigeon_rec.warehouse.budget import START_SECONDS, Budget

__all__ = ["Estimate", "estimate_night"]

_PUBLISHED_SIZE: Final = 1024
_BYTES_PER_PIXEL: Final = 1.4
"""Pictures of the bundled model, stored losslessly: 5.7 kB for 64 x 64 pixels."""


@dataclass(frozen=True)
class Estimate:
    """What a night draws that can reuse no picture.

    Attributes:
        pictures: Pictures to draw.
        image_size: Side of the squares that the model draws, in pixels.
        seconds_per_picture: Seconds of drawing one. Those of earlier nights, in all processes and
            with the start of every shard; else of the bundled model on one core, without it.
        measured_nights: Earlier nights that they were measured in; 0 if there are none.
        minutes: Time of drawing all pictures on one machine, the start of every shard included.
        megabytes: Size of the pictures.
    """

    pictures: int
    image_size: int
    seconds_per_picture: float
    measured_nights: int
    minutes: float
    megabytes: float


def estimate_night(config: NightlyConfig, model: str, budget: Budget, users: int) -> Estimate:
    """Estimates a night.

    Args:
        config: Its settings.
        model: Name or folder of the model that draws it.
        budget: How many pictures it may draw, and how long one takes.
        users: Users that pictures can be drawn for.

    Raises:
        ModelError: There is no such model.
    """
    pictures = min(budget.assets, users * config.plan.max_assets_per_user)
    seconds = pictures * budget.seconds_per_asset
    if not budget.measured_nights:
        shards = min(config.plan.shards, pictures)
        seconds = seconds / config.processes + shards * START_SECONDS
    side = _image_size(config, model)
    return Estimate(
        pictures=pictures,
        image_size=side,
        seconds_per_picture=round(budget.seconds_per_asset, 2),
        measured_nights=budget.measured_nights,
        minutes=round(seconds / 60, 1),
        megabytes=round(pictures * side * side * _BYTES_PER_PIXEL / 1e6, 2),
    )


def _image_size(config: NightlyConfig, model: str) -> int:
    kind = kind_of(model)
    if kind == "function":
        from pigeon_rec.model.backbones.load import load_backbone

        return load_backbone(model, config.placement, config.backbone).image_size
    folder = model_folder(model)
    if kind != "pigeon":
        return drawn_size(kind, folder)
    if is_published(folder):
        return _PUBLISHED_SIZE
    return PigeonConfig.load(folder).tokenizer.image_size
