"""Adapts a finished model to other pictures: what redraws them well is adopted unchanged.

Tokenizer, autoencoder and renderer know no items, only how pictures look. Trained on one catalogue
they may do as well on another; then all the time is left for the parts that must learn it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from pigeon_rec.config import GenerationConfig
from pigeon_rec.errors import TrainingError
from pigeon_rec.model.arrays import to_pixels
from pigeon_rec.model.pipeline import PigeonPipeline
from pigeon_rec.runtime.files import write_json
from pigeon_rec.training.adopt import adopt
from pigeon_rec.training.artwork import ArtworkTensors, TrainingArtwork
from pigeon_rec.training.configuration import Adoptable, TrainingConfig
from pigeon_rec.training.image_losses import psnr

__all__ = ["adopt_what_fits", "adopted_in", "round_trips"]

_MEASURED, _RENDERED = 128, 24
"""Pictures that previews and autoencoder, and that renderings are measured on."""
_STEPS: Final = 6
_RECORD: Final = "adopted.json"
_LOG = logging.getLogger(__name__)


def adopt_what_fits(
    config: TrainingConfig, folder: Path, model: str | Path, artwork: TrainingArtwork
) -> list[str]:
    """Adopts the parts of a model that redraw the artwork as well as `config.adopt` asks for.

    The renderer builds on the other two and is adopted only with them. Measurements are written to
    `folder/adopted.json`. A recipe that has begun in `folder` is left alone.

    Returns:
        The recipes whose parts were adopted.

    Raises:
        ModelError: The model does not exist or is damaged.
    """
    open_ones: list[Adoptable] = [name for name in config.adopt if not (folder / name).exists()]
    if not open_ones:
        return []
    pipeline = PigeonPipeline.from_pretrained(model)
    if pipeline.config.tokenizer.image_size != artwork.images.shape[1]:
        return []
    found = round_trips(pipeline, _sample(artwork))
    good = [name for name in open_ones if found.get(name, -np.inf) >= config.adopt[name]]
    if not {"tokenizer", "autoencoder"} <= {*good}:
        good = [name for name in good if name != "renderer"]
    adopted: list[str] = [name for name in good if _adopt(model, config, folder, name)]
    write_json({"decibels": found, "least": dict(config.adopt), "adopted": adopted},
               folder / _RECORD)  # fmt: skip
    for name in open_ones:
        verdict = "adopted unchanged" if name in adopted else "trained"
        _LOG.info("%s: %.1f dB on this catalogue, %s", name, found.get(name, np.nan), verdict)
    return adopted


def adopted_in(folder: Path) -> list[str]:
    """The recipes whose parts were adopted in a training folder."""
    path = folder / _RECORD
    names = json.loads(path.read_text("utf-8"))["adopted"] if path.is_file() else []
    return [str(name) for name in names]


@torch.inference_mode()
def round_trips(pipeline: PigeonPipeline, images: NDArray[np.uint8]) -> Mapping[str, float]:
    """How well a model redraws pictures: recipe -> mean PSNR in dB.

    The tokenizer is measured by its previews, the renderer by rendering the tokens.
    """
    truth, codec = to_pixels(images), pipeline.generator.codec
    codes, some = pipeline.encode_images(images), images[:_RENDERED]
    keys = [f"round-trip/{row}" for row in range(len(some))]
    drawn = pipeline.render(codes[: len(some)], keys, GenerationConfig(diffusion_steps=_STEPS))
    found = {
        "autoencoder": float(psnr(codec.decode(codec.posterior(truth).mode()), truth)),
        "renderer": float(psnr(to_pixels(drawn), to_pixels(some))),
    }
    if pipeline.has_previews:
        found["tokenizer"] = float(psnr(to_pixels(pipeline.preview(codes)), truth))
    return found


def _sample(artwork: TrainingArtwork) -> NDArray[np.uint8]:
    """Pictures that are not trained on, or some of the others where there are too few."""
    images = ArtworkTensors.of(artwork)
    rows = torch.cat([images.validation, images.training])[:_MEASURED]
    return artwork.images[rows.numpy()]


def _adopt(model: str | Path, config: TrainingConfig, folder: Path, name: str) -> bool:
    """Adopts one part; False if the configuration has other sizes."""
    try:
        adopt(model, config, folder, [name])
    except TrainingError:
        return False
    return True
