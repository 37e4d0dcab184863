"""Image encoders of others beside our scorer: transformers, timm and torchvision.

Pictures are fitted into the encoder's square on white, like those of a catalogue, and normalised
with the mean and deviation that come with the weights. Nothing is downloaded from a model hub, no
code of a folder is run, and weights are safetensors or read with torch's restricted unpickler.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - what torch raises when it refuses a file
from textwrap import shorten
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pigeon_rec.errors import ModelError
from pigeon_rec.model.arrays import fixed_batches
from pigeon_rec.runtime.digests import digest, file_sha256, folder_sha256
from pigeon_rec.scoring.scorer import Scorer, load_scorer

__all__ = ["ImageEncoder", "load_image_encoder"]

logger = logging.getLogger(__name__)

_BATCH: Final = 32
_REMEDY: Final = (
    "Give a model of ours, a folder of transformers or timm, timm:NAME:FILE, torchvision:NAME or "
    "torchvision:NAME:FILE"
)
_IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF: Final = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_FAILURES: Final = (
    *(ArithmeticError, AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError),
    *(ValueError, SafetensorError, UnpicklingError),
)
"""What the libraries raise for a model that is missing, damaged or of another kind."""


@dataclass(frozen=True)
class ImageEncoder:
    """An image encoder with a numpy interface.

    Attributes:
        encoder_id: Identifies weights and preprocessing; keys the embedding cache.
        image_size: Height and width of the pictures that it takes.
        encode_images: uint8 `[n, *image_size, 3]` to float32 `[n, dim]`.
    """

    encoder_id: str
    image_size: tuple[int, int]
    encode_images: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class _Network:
    """A network and its preprocessing."""

    module: nn.Module
    features: Callable[[Tensor], Any]
    size: tuple[int, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    name: str


def load_image_encoder(name: str | Path) -> ImageEncoder:
    """Loads an image encoder.

    Args:
        name: A bundled or saved model of ours; a folder in the layout of transformers (CLIP,
            SigLIP, DINOv2, ViT, ResNet, ...) or timm; `timm:NAME:FILE`; `torchvision:NAME`, whose
            weights torchvision must have or be able to get, or `torchvision:NAME:FILE`.

    Raises:
        ModelError: There is no such model, a package is missing, or the weights do not fit.
    """
    kind, _, rest = str(name).partition(":")
    loaders = {"timm": _timm, "torchvision": _torchvision}
    if kind in loaders and rest:
        return _loaded(str(name), lambda: loaders[kind](rest))
    config = Path(name) / "config.json"
    keys = _json(config) if config.is_file() else {}
    if "model_type" in keys:
        return _loaded(str(name), lambda: _transformers(Path(name), keys))
    if "architecture" in keys:
        return _loaded(str(name), lambda: _timm_folder(Path(name), keys))
    return _own(load_scorer(name))


def _own(scorer: Scorer) -> ImageEncoder:
    size = (scorer.image_size, scorer.image_size)
    return ImageEncoder(scorer.encoder_id, size, scorer.encode_images)


def _loaded(name: str, load: Callable[[], _Network]) -> ImageEncoder:
    try:
        network = load()
    except _FAILURES as error:
        raise ModelError(
            f"the image encoder cannot be loaded: {type(error).__name__}: "
            f"{shorten(str(error), 300)}",
            location=name,
            remedy=_REMEDY,
        ) from error
    network.module.eval().requires_grad_(False)
    mean = torch.tensor(network.mean).view(1, -1, 1, 1)
    deviation = torch.tensor(network.deviation).view(1, -1, 1, 1)

    @torch.inference_mode()
    def encode(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = []
        for rows in fixed_batches(len(images), _BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(images[rows])).permute(0, 3, 1, 2)
            parts.append(_vectors(network.features((batch.float() / 255.0 - mean) / deviation)))
        vectors: NDArray[np.float32] = torch.cat(parts)[: len(images)].float().numpy()
        return vectors

    return ImageEncoder(f"{network.name}-{network.size[0]}x{network.size[1]}", network.size, encode)


def _vectors(output: Any) -> Tensor:
    """One vector per picture from what a network returns: a tensor or an output of transformers."""
    if not isinstance(output, Tensor):
        names = ("image_embeds", "pooler_output", "last_hidden_state")
        output = next(x for x in (getattr(output, name, None) for name in names) if x is not None)
    if output.ndim == 4:  # maps [batch, channels, height, width]
        output = output.mean(dim=(2, 3))
    return output[:, 0] if output.ndim == 3 else output


def _transformers(folder: Path, config: Mapping[str, Any]) -> _Network:
    import transformers

    architecture = str((config.get("architectures") or [""])[0])
    # AutoModel leaves out the projection of these.
    projects = architecture.endswith("WithProjection")
    loader = getattr(transformers, architecture) if projects else transformers.AutoModel
    model, info = loader.from_pretrained(
        folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
    )
    missing = sorted(info["missing_keys"])
    unpooled = [key for key in missing if "pooler" not in key]
    if unpooled:
        raise ValueError(f"weights are missing: {', '.join(unpooled[:3])}")
    features: Callable[[Tensor], Any] = lambda pixels: model(pixel_values=pixels)  # noqa: E731
    if hasattr(model, "get_image_features"):
        features = lambda pixels: model.get_image_features(pixel_values=pixels)  # noqa: E731
    elif missing:  # a pooler that is not trained
        features = lambda pixels: model(pixel_values=pixels).last_hidden_state  # noqa: E731
    size, mean, deviation = _preprocessing(folder, config)
    name = f"transformers-{folder_sha256(folder)[:16]}"
    return _Network(model, features, size, mean, deviation, name)


def _preprocessing(
    folder: Path, config: Mapping[str, Any]
) -> tuple[tuple[int, int], tuple[float, ...], tuple[float, ...]]:
    """Size, mean and deviation of `preprocessor_config.json`, or else of the model."""
    settings = _json(folder / "preprocessor_config.json")
    if not settings:
        settings = _json(folder / "processor_config.json").get("image_processor", {})
    if not settings:
        logger.warning("%s has no preprocessor_config.json: mean and deviation are 0.5", folder)
    vision = {**config, **(config.get("vision_config") or {})}
    given = settings.get("crop_size") if settings.get("do_center_crop", True) else None
    size = _size(given or settings.get("size") or vision.get("image_size") or 224)
    normalise = settings.get("do_normalize", True)
    mean, deviation = (
        tuple(map(float, settings.get(key) or default)) if normalise else tuple(plain)
        for key, default, plain in (
            ("image_mean", _HALF[0], (0.0, 0.0, 0.0)),
            ("image_std", _HALF[1], (1.0, 1.0, 1.0)),
        )
    )
    return size, mean, deviation


def _size(given: Any) -> tuple[int, int]:
    if isinstance(given, Mapping):
        side: Any = given.get("shortest_edge") or given.get("longest_edge")
        return int(given.get("height") or side), int(given.get("width") or side)
    pair = tuple(given) if isinstance(given, list | tuple) else (given, given)
    return int(pair[0]), int(pair[1])


def _timm_folder(folder: Path, config: Mapping[str, Any]) -> _Network:
    files = [folder / name for name in ("model.safetensors", "pytorch_model.bin")]
    weights = next((file for file in files if file.is_file()), files[0])
    return _timm_network(str(config["architecture"]), weights, config)


def _timm(rest: str) -> _Network:
    name, _, file = rest.partition(":")
    if not file and (Path(name) / "config.json").is_file():
        return _timm_folder(Path(name), _json(Path(name) / "config.json"))
    if not file:
        raise ValueError(f"timm:{name} needs a file of weights: timm:{name}:FILE")
    return _timm_network(name, Path(file), {})


def _timm_network(name: str, weights: Path, config: Mapping[str, Any]) -> _Network:
    import timm

    model = timm.create_model(
        name, pretrained=False, num_classes=0, **dict(config.get("model_args") or {})
    )
    _load(model, weights)
    given = {**model.pretrained_cfg, **(config.get("pretrained_cfg") or {})}
    *_, height, width = given["input_size"]
    mean, deviation = tuple(given["mean"]), tuple(given["std"])
    title = f"timm-{name}-{file_sha256(weights)[:16]}"
    return _Network(model, model, (height, width), mean, deviation, title)


def _torchvision(rest: str) -> _Network:
    from torchvision import models

    name, _, file = rest.partition(":")
    default = models.get_model_weights(name).DEFAULT
    model = models.get_model(name, weights=None if file else default)
    _without_classes(model)
    if file:
        _load(model, Path(file))
    side = int(default.transforms().crop_size[0])
    content = file_sha256(Path(file)) if file else digest(str(default.url))
    title = f"torchvision-{name}-{content[:16]}"
    return _Network(model, model, (side, side), *_IMAGENET, title)


def _without_classes(model: nn.Module) -> None:
    """Replaces the last linear layer, which gives a score per class, by the identity."""
    last = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)][-1]
    parent, _, own = last.rpartition(".")
    setattr(model.get_submodule(parent), own, nn.Identity())


def _load(model: nn.Module, file: Path) -> None:
    """Loads weights without those of the classes, which the model no longer has."""
    safe = file.suffix == ".safetensors"
    state = load_file(file) if safe else torch.load(file, map_location="cpu", weights_only=True)
    missing = model.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise ValueError(f"weights are missing: {', '.join(missing[:3])}")


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
