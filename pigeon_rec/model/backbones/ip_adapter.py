"""Stable Diffusion 1.5 or XL with an IP-Adapter (arXiv 2308.06721), by diffusers.

The pictures of the history are image prompts, the text of the target is the prompt, and the
reference is the start of img2img. Folder:

    backbone.json        {"kind": "ip_adapter"}; not needed where model_index.json is beside it
    model_index.json, unet/, vae/, ...   diffusers' layout, here or in `pipeline/`
    ip_adapter/          one .safetensors or .bin, and image_encoder/
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from pigeon_rec.config import BackboneConfig, GenerationConfig
from pigeon_rec.errors import ModelError, error_text
from pigeon_rec.model.backbones.folders import DiffusersFolder
from pigeon_rec.model.backbones.kinds import options_of
from pigeon_rec.model.backbones.protocol import Candidates, PictureRequests
from pigeon_rec.model.backbones.quiet import quiet_libraries
from pigeon_rec.model.backbones.seeds import candidate_seed
from pigeon_rec.model.placing import (
    check_device,
    device_maps,
    dispatch,
    refuse_quantisation,
    torch_dtype,
    weight_bytes,
)
from pigeon_rec.model.version import model_version
from pigeon_rec.placement import Placement

__all__ = ["IPAdapterBackbone"]

Images = NDArray[np.uint8]
Embedding = tuple[Tensor, Tensor]
"""Of one picture and of none, `[1, ...]` each: both sides of the guidance."""

_DRAWN_BY: Final = {
    "StableDiffusionPipeline": "StableDiffusionImg2ImgPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLImg2ImgPipeline",
}


class IPAdapterBackbone:
    """One call of the pipeline per request, with all of its candidates.

    So the shapes of a request's sums never depend on other requests: on a CPU its bytes are the
    same in any batch.

    Args:
        pipeline: Diffusers' img2img pipeline with one IP-Adapter, on its devices.
        folder: Where it was loaded from.
        image_size: Side of its pictures in pixels.
        placement: Devices and dtype.
        options: See `BackboneConfig`.
    """

    def __init__(
        self,
        pipeline: Any,
        folder: Path,
        image_size: int,
        placement: Placement,
        options: BackboneConfig,
    ) -> None:
        self.image_size = image_size
        self.bit_exact = placement.device == "cpu"
        self.options = options_of("ip_adapter", options)
        self._pipeline, self._folder = pipeline, folder
        self._device = check_device(placement.device)
        self._embedded: tuple[Images | None, dict[int, Embedding]] = (None, {})
        pipeline.set_ip_adapter_scale(self.options["ip_adapter_scale"])
        pipeline.set_progress_bar_config(disable=True)

    @classmethod
    def load(cls, folder: Path, placement: Placement, options: BackboneConfig) -> Self:
        """Loads pipeline and adapter.

        Raises:
            ModelError: A file is missing or does not fit, or the placement is not possible.
        """
        refuse_quantisation(placement, "a pipeline of diffusers")
        check_device(placement.device)
        files = DiffusersFolder.find(folder)
        try:
            with quiet_libraries():
                pipeline = _load(files, torch_dtype(placement))
        except ModelError:
            raise
        except Exception as error:  # of any kind: three libraries read these files
            raise ModelError(
                f"pipeline or IP-Adapter cannot be loaded ({error_text(error)})",
                location=str(folder),
                remedy="Restore the folder; docs/backbones.md shows its layout",
            ) from error
        _place(pipeline, placement)
        return cls(pipeline, folder, files.image_size, placement, options)

    @cached_property
    def version(self) -> str:
        """Folder name and digest of all its files."""
        return model_version(self._folder)

    def draw(
        self,
        requests: PictureRequests,
        generation: GenerationConfig,  # noqa: ARG002 - it has Pigeon's settings only
    ) -> Candidates:
        """Draws `candidates` pictures per request by its own options."""
        images = np.stack([self._draw(requests, row) for row in range(len(requests))])
        replaced = np.full(images.shape[:2], float(self.options["strength"]))
        return Candidates(images, replaced)

    @torch.inference_mode()
    def _draw(self, requests: PictureRequests, row: int) -> Images:
        options, key = self.options, requests.keys[row]
        count = int(options["candidates"])
        # On the CPU, so that every device gets the same noise.
        generators = [
            torch.Generator("cpu").manual_seed(candidate_seed(key, number))
            for number in range(count)
        ]
        with quiet_libraries():
            drawn = self._pipeline(
                prompt=requests.targets[row],
                negative_prompt=options["negative_text"],
                image=Image.fromarray(requests.pictures[requests.reference_rows[row]]),
                strength=options["strength"],
                num_inference_steps=options["steps"],
                guidance_scale=options["guidance"],
                num_images_per_prompt=count,
                generator=generators,
                ip_adapter_image_embeds=[self._image_prompt(requests, row)],
                output_type="np",
            ).images
        levels: Images = (np.asarray(drawn) * 255).round().astype(np.uint8)
        return levels

    def _image_prompt(self, requests: PictureRequests, row: int) -> Tensor:
        """The embedded history `[1, images, ...]`; with guidance, no history comes first."""
        found = [self._embedding(requests.pictures, int(n)) for n in requests.history_rows[row]]
        shown, blank = (torch.cat(side)[None] for side in zip(*found, strict=True))
        return shown if self.options["guidance"] <= 1.0 else torch.cat([blank, shown])

    def _embedding(self, pictures: Images, row: int) -> Embedding:
        """Embeds one picture by itself, once per shard."""
        if self._embedded[0] is not pictures:
            self._embedded = (pictures, {})
        known = self._embedded[1]
        if row not in known:
            projection = self._pipeline.unet.encoder_hid_proj.image_projection_layers[0]
            hidden = type(projection).__name__ != "ImageProjection"
            image = Image.fromarray(pictures[row])
            known[row] = self._pipeline.encode_image(image, self._device, 1, hidden)
        return known[row]


def _load(files: DiffusersFolder, dtype: torch.dtype) -> Any:
    pipeline = _pipeline_class(files).from_pretrained(
        files.pipeline, dtype=dtype, local_files_only=True
    )
    pipeline.load_ip_adapter(
        str(files.adapter), subfolder="", weight_name=files.weights, local_files_only=True
    )
    return pipeline


def _pipeline_class(files: DiffusersFolder) -> Any:
    import diffusers

    name = _DRAWN_BY.get(files.class_name, files.class_name)
    if name not in _DRAWN_BY.values():
        raise ModelError(
            f"pipelines of the class {files.class_name!r} are not supported",
            location=str(files.pipeline / "model_index.json"),
            remedy=f"Use one of {', '.join(_DRAWN_BY)}, or write a backbone of your own",
        )
    return getattr(diffusers, name)


def _place(pipeline: Any, placement: Placement) -> None:
    """Moves all modules to the device; with a memory budget, the UNet is spread."""
    modules = {
        name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)
    }
    dtype = torch_dtype(placement)
    if placement.memory is not None:
        unet = modules.pop("unet")
        taken = sum(weight_bytes(module, dtype) for module in modules.values())
        location = device_maps({"unet": unet}, placement, taken)["unet"]
        dispatch("unet", unet, location, placement)
    for module in modules.values():
        module.to(check_device(placement.device))
