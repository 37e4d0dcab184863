"""A drawer of a few thousand weights over a small catalogue of real files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pigeon_rec.config import GenerationConfig, QualityGateConfig
from pigeon_rec.data.catalogue import load_catalogue
from pigeon_rec.data.prompts import load_prompt
from pigeon_rec.drawing import Request
from pigeon_rec.drawing.drawer import Drawer
from pigeon_rec.model.backbones.pigeon import PigeonBackbone
from pigeon_rec.model.pipeline import PigeonPipeline
from tests.model.tiny import QUICK, tiny_pipeline
from tests.small_world import write_catalogue

__all__ = ["REQUESTS", "PixelScorer", "tiny_drawer"]

REQUESTS = [
    Request("a/0", history=("i00", "i01"), reference="i04"),
    Request("b/0", history=("i01", "i02"), reference="i05"),
    Request("c/0", history=("i00", "i03"), reference="i04"),
]
"""Three requests over six items, two of which are in several histories."""


class PixelScorer:
    """Embeds a picture as its 4x4 thumbnail around grey, and a text by its hash."""

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        side = images.shape[1] // 4
        blocks = images.reshape(len(images), 4, side, 4, side, 3).mean(axis=(2, 4))
        return _unit(blocks.reshape(len(images), -1) - 127.5)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        return _unit(np.stack([np.random.default_rng(s).normal(size=48) for s in seeds]))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)
    return unit.astype(np.float32)


def tiny_drawer(
    folder: Path,
    pipeline: PigeonPipeline | None = None,
    generation: GenerationConfig = QUICK,
    gate: QualityGateConfig | None = None,
) -> Drawer:
    """Draws with random weights from six pictures that are written to `folder`."""
    return Drawer(
        backbone=PigeonBackbone(pipeline or tiny_pipeline()),
        scorer=PixelScorer(),  # type: ignore[arg-type]
        catalogue=load_catalogue(write_catalogue(folder, 6)),
        prompt=load_prompt("sticker"),
        generation=generation,
        gate=gate or QualityGateConfig(min_text_score=-1.0, min_pixel_std=0.0),
    )
