"""Degradations of pictures: what the judges are trained to ignore, and measured on.

Compression, blur, resampling and noise change a picture without changing its style or concept. All
functions map uint8 `[n, H, W, 3]` to a new array of the same shape.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.model.arrays import to_levels, to_pixels
from pigeon_rec.model.image_generator import LatentCodec

__all__ = [
    "MEASURED",
    "blurred",
    "compressed",
    "degraded",
    "noisy",
    "resampled",
    "round_trip",
]

Images = NDArray[np.uint8]
Values = NDArray[np.float32]

_CODEC_BATCH: Final = 32
_FILTER: Final = Image.Resampling.BICUBIC


def compressed(images: Images, quality: int) -> Images:
    """Saves as JPEG of a quality in [1, 100] with Pillow, and reads it again."""
    return _each(images, lambda image: _jpeg(image, quality))


def blurred(images: Images, deviation: float) -> Images:
    """Gaussian blur; `deviation` is its standard deviation in pixels, 0 for none."""
    if deviation == 0.0:
        return images.copy()
    reach = int(np.ceil(3.0 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    soft = _convolved(_convolved(images.astype(np.float32), kernel, 1), kernel, 2)
    return _levels(soft)


def resampled(images: Images, scale: float) -> Images:
    """Scales the sides by a factor and back, bicubic; below 1, detail is lost."""
    height, width = images.shape[1:3]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return _each(images, lambda image: image.resize(size, _FILTER).resize((width, height), _FILTER))


def noisy(images: Images, deviation: float, random: np.random.Generator, grain: int = 1) -> Images:
    """Adds Gaussian noise in squares of `grain` pixels, smooth between them.

    `deviation` is the standard deviation, with white to black as 1.
    """
    count, height, width, depth = images.shape
    shape = (count, -(-height // grain), -(-width // grain), depth)
    noise = random.standard_normal(shape, dtype=np.float32)
    if grain > 1:
        noise = noise.repeat(grain, axis=1).repeat(grain, axis=2)[:, :height, :width]
        kernel = np.full(grain + 1 - grain % 2, 1.0 / (grain + 1 - grain % 2), np.float32)
        noise = _convolved(_convolved(noise, kernel, 1), kernel, 2)
    return _levels(images + 255.0 * deviation * noise)


@torch.no_grad()
def round_trip(images: Images, codec: LatentCodec) -> Images:
    """Encodes with a model's autoencoder and decodes; deterministic."""
    parts = [images[start : start + _CODEC_BATCH] for start in range(0, len(images), _CODEC_BATCH)]
    decoded = [to_levels(codec.decode(codec.posterior(to_pixels(part)).mode())) for part in parts]
    return torch.cat(decoded).numpy() if decoded else images.copy()


MEASURED: Final[Mapping[str, Callable[[Images], Images]]] = MappingProxyType(
    {
        "real": np.copy,
        "jpeg_75": lambda images: compressed(images, 75),
        "jpeg_60": lambda images: compressed(images, 60),
        "blur": lambda images: blurred(images, 0.5),
    }
)
"""What the judges are measured on, besides the autoencoder's round trip."""

_Random = np.random.Generator
_CHANGES: Final[Sequence[Callable[[Images, _Random], Images]]] = (
    lambda images, random: compressed(images, int(random.integers(40, 96))),
    lambda images, random: blurred(images, float(random.uniform(0.2, 1.0))),
    lambda images, random: resampled(images, float(random.uniform(0.5, 1.5))),
    lambda images, random: noisy(
        images, float(random.uniform(0.0, 0.04)), random, int(random.choice((1, 2, 4)))
    ),
)


def degraded(images: Images, random: np.random.Generator) -> Images:
    """Degrades a batch for training.

    Of the pictures, about 30 % stay as they are, and each other one draws one or two changes and
    their strengths: JPEG 40 to 95, blur up to one pixel, sides scaled by 0.5 to 1.5 and back,
    noise up to 4 % in grains of 1, 2 or 4 pixels.
    """
    changed = images.copy()
    for share in (0.6, 0.25):
        for row in np.flatnonzero(random.random(len(images)) < share):
            change = _CHANGES[random.integers(len(_CHANGES))]
            changed[row : row + 1] = change(changed[row : row + 1], random)
    return changed


def _each(images: Images, change: Callable[[Image.Image], Image.Image]) -> Images:
    changed = np.empty_like(images)
    for row, image in enumerate(images):
        changed[row] = np.asarray(change(Image.fromarray(image)))
    return changed


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "jpeg", quality=quality)
    return Image.open(content)


def _convolved(values: Values, kernel: Values, axis: int) -> Values:
    """Convolves along an axis with a symmetric kernel; the border is repeated."""
    reach = len(kernel) // 2
    widths = [(reach, reach) if place == axis else (0, 0) for place in range(values.ndim)]
    padded = np.pad(values, widths, mode="edge")
    total = np.zeros_like(values)
    for start, weight in enumerate(kernel):
        index = [slice(None)] * values.ndim
        index[axis] = slice(start, start + values.shape[axis])
        total += weight * padded[tuple(index)]
    return total


def _levels(values: Values) -> Images:
    return np.rint(values).clip(0, 255).astype(np.uint8)
