"""What lies in the folder of a backbone other than Pigeon, read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from pigeon_rec.errors import ModelError, error_text
from pigeon_rec.model.paths import PIPELINE

__all__ = ["ADAPTER", "DiffusersFolder", "janus_image_size", "read_config"]

ADAPTER: Final = "ip_adapter"
"""Folder of an IP-Adapter."""
_WEIGHTS: Final = (".safetensors", ".bin")


@dataclass(frozen=True)
class DiffusersFolder:
    """A pipeline in diffusers' layout and its IP-Adapter.

    Attributes:
        pipeline: Folder of the pipeline.
        adapter: Folder of the adapter.
        weights: File name of the adapter's weights.
        class_name: Class of the pipeline.
        image_size: Side of its pictures in pixels.
    """

    pipeline: Path
    adapter: Path
    weights: str
    class_name: str
    image_size: int

    @classmethod
    def find(cls, folder: Path) -> Self:
        """Reads names and sizes.

        Raises:
            ModelError: A file is missing or damaged, or there is not one file of weights.
        """
        pipeline = folder if (folder / PIPELINE).is_file() else folder / "pipeline"
        adapter = folder / ADAPTER
        found = sorted(p.name for p in adapter.glob("*") if p.suffix in _WEIGHTS)
        if len(found) != 1:
            raise ModelError(
                f"there must be one file of an IP-Adapter's weights, and there are {len(found)}"
                + (f": {', '.join(found)}" if found else ""),
                location=str(adapter),
                remedy="Keep one .safetensors or .bin there, with its image_encoder/ beside it",
            )
        if not (adapter / "image_encoder" / "config.json").is_file():
            raise ModelError(
                "the image encoder of the IP-Adapter is missing",
                location=str(adapter / "image_encoder"),
                remedy="Copy or link it there: models/image_encoder of SD 1.5, and of SDXL the one "
                "that the adapter was trained with",
            )
        name = str(read_config(pipeline / PIPELINE).get("_class_name"))
        return cls(pipeline, adapter, found[0], name, _side(pipeline))


def janus_image_size(folder: Path) -> int:
    """Side in pixels of the pictures that a Janus model draws.

    Raises:
        ModelError: Its configuration is missing or damaged.
    """
    vision = read_config(folder / "config.json").get("vision_config") or {}
    return int(vision.get("image_size", 384))


def read_config(path: Path) -> Mapping[str, Any]:
    """Reads a JSON object.

    Raises:
        ModelError: The file is missing or damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the file cannot be read ({error_text(error)})",
            location=str(path),
            remedy="Restore the model folder; docs/backbones.md shows its layout",
        ) from error
    return found


def _side(pipeline: Path) -> int:
    """Side of the latents, times one halving per block of the autoencoder but the last."""
    unet, vae = (read_config(pipeline / name / "config.json") for name in ("unet", "vae"))
    side, blocks = unet.get("sample_size"), vae.get("block_out_channels")
    if not isinstance(side, int) or not isinstance(blocks, list):
        raise ModelError(
            f"the size of the pictures is not known (sample_size {side!r}, autoencoder {blocks!r})",
            location=str(pipeline / "unet" / "config.json"),
            remedy="Give `sample_size`, the side of the latents, as a number",
        )
    return side * 2 ** (len(blocks) - 1)
