"""Files of weights of a backbone of a library, found without loading them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pigeon_rec.errors import ModelError, error_text
from pigeon_rec.model.backbones.folders import ADAPTER, DiffusersFolder, read_config
from pigeon_rec.model.backbones.kinds import Kind
from pigeon_rec.model.paths import PIPELINE
from pigeon_rec.model.published.weight_files import WeightFiles, find_weights

__all__ = ["weights_of"]


def weights_of(kind: Kind, folder: Path) -> tuple[dict[str, WeightFiles], list[str]]:
    """Finds the weights of each part.

    Args:
        kind: `ip_adapter` or `janus`.
        folder: The backbone's.

    Returns:
        Files by part, and folders that lack theirs.

    Raises:
        ModelError: A configuration or an index is missing or damaged.
    """
    if kind == "janus":
        return _found({"janus": (folder, "model")})
    files = DiffusersFolder.find(folder)
    places = dict(_modules(files))
    places["image_encoder"] = (files.adapter / "image_encoder", "model")
    found, missing = _found(places)
    weights = files.adapter / files.weights
    adapter = WeightFiles if weights.suffix == ".safetensors" else _NestedFiles
    return found | {ADAPTER: adapter((weights,), weights)}, missing


def _modules(files: DiffusersFolder) -> Iterator[tuple[str, tuple[Path, str]]]:
    """Folder and stem of each part of a pipeline that has weights."""
    for name, entry in read_config(files.pipeline / PIPELINE).items():
        place = files.pipeline / name
        if isinstance(entry, list) and entry[0] is not None and (place / "config.json").is_file():
            yield name, (place, "diffusion_pytorch_model" if entry[0] == "diffusers" else "model")


def _found(places: Mapping[str, tuple[Path, str]]) -> tuple[dict[str, WeightFiles], list[str]]:
    found, missing = {}, []
    for name, (folder, stem) in places.items():
        try:
            found[name] = find_weights(folder, stem)
        except ModelError as error:
            if "weights are missing" not in error.what:
                raise
            missing.append(str(folder))
    return found, missing


@dataclass(frozen=True)
class _NestedFiles(WeightFiles):
    """The authors' `.bin` of an IP-Adapter, which has a dictionary of tensors per part."""

    def headers(self) -> dict[str, Tensor]:
        path = self.paths[0]
        try:
            mapped = zipfile.is_zipfile(path)
            value: Any = torch.load(path, map_location="meta", weights_only=True, mmap=mapped)
            return {
                f"{part}.{key}": tensor
                for part, tensors in value.items()
                for key, tensor in tensors.items()
            }
        except Exception as error:  # what torch raises depends on the damaged byte
            raise ModelError(
                f"the weights cannot be read: {error_text(error)}",
                location=str(path),
                remedy="Download the file again; only tensors by name are read",
            ) from error
