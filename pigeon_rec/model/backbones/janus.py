"""Janus (arXiv 2410.13848) and its successors of the same layout, by transformers.

The prompt is text only: the texts of the history, if the scenario has any, and the text of the
target. Janus sees no picture when it draws. Folder: what `save_pretrained` of model and processor
writes; `model_type` in its config.json is `janus`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from pigeon_rec.config import BackboneConfig, GenerationConfig
from pigeon_rec.errors import ModelError, error_text
from pigeon_rec.model.arrays import to_levels
from pigeon_rec.model.backbones.folders import janus_image_size
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

__all__ = ["JanusBackbone"]

Images = NDArray[np.uint8]


class JanusBackbone:
    """Candidates one by one, so that no other request changes the shape of a sum.

    Args:
        model: `JanusForConditionalGeneration`, on its devices.
        processor: `JanusProcessor`.
        folder: Where both were loaded from.
        placement: Devices and dtype.
        options: See `BackboneConfig`.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        folder: Path,
        placement: Placement,
        options: BackboneConfig,
    ) -> None:
        self.image_size = janus_image_size(folder)
        self.bit_exact = placement.device == "cpu"
        self.options = options_of("janus", options)
        self._model, self._processor, self._folder = model, processor, folder
        self._device = check_device(placement.device)

    @classmethod
    def load(cls, folder: Path, placement: Placement, options: BackboneConfig) -> Self:
        """Loads model and processor.

        Raises:
            ModelError: A file is missing or does not fit, or the placement is not possible.
        """
        refuse_quantisation(placement, "a Janus model")
        check_device(placement.device)
        try:
            with quiet_libraries():
                model, processor = _load(folder, torch_dtype(placement))
        except Exception as error:  # of any kind: several libraries read these files
            raise ModelError(
                f"the Janus model cannot be loaded ({error_text(error)})",
                location=str(folder),
                remedy="Restore the folder; docs/backbones.md shows its layout",
            ) from error
        _place(model, placement)
        return cls(model, processor, folder, placement, options)

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
        count = int(self.options["candidates"])
        images = np.stack(
            [
                np.stack([self._draw(self._prompt(requests, row), key, n) for n in range(count)])
                for row, key in enumerate(requests.keys)
            ]
        )
        return Candidates(images, np.ones(images.shape[:2]))  # it sees nothing of the reference

    def _prompt(self, requests: PictureRequests, row: int) -> str:
        liked = requests.history_texts[row] if requests.history_texts is not None else ()
        text = " ".join([*liked, requests.targets[row]])
        if not self._processor.chat_template:
            return text
        message = {"role": "user", "content": [{"type": "text", "text": text}]}
        return str(self._processor.apply_chat_template([message], add_generation_prompt=True))

    @torch.inference_mode()
    def _draw(self, prompt: str, key: str, number: int) -> Images:
        inputs = self._processor(text=prompt, generation_mode="image", return_tensors="pt")
        devices = [self._device] if self._device.type != "cpu" else []
        kind = self._device.type if devices else "cuda"
        # Its loop draws from torch's global generators: ours must not change for others.
        with torch.random.fork_rng(devices, device_type=kind), quiet_libraries():
            torch.manual_seed(candidate_seed(key, number))
            codes = self._model.generate(
                **inputs.to(self._device),
                generation_mode="image",
                do_sample=True,
                guidance_scale=self.options["guidance"],
                temperature=self.options["temperature"],
            )
            pixels = self._model.decode_image_tokens(codes)  # [1, H, W, 3], about -1 to 1
        levels: Images = to_levels(pixels.float().permute(0, 3, 1, 2))[0].cpu().numpy()
        return levels


def _load(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    from transformers import JanusForConditionalGeneration, JanusProcessor

    model = JanusForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, local_files_only=True
    )
    return model.eval(), JanusProcessor.from_pretrained(folder, local_files_only=True)


def _place(janus: Any, placement: Placement) -> None:
    """Moves the model to the device; with a memory budget, the language model is spread."""
    device = check_device(placement.device)
    if placement.memory is None:
        janus.to(device)
        return
    dtype = torch_dtype(placement)
    parts = dict(janus.model.named_children())
    language_model = parts.pop("language_model")
    # The language model's own head is not used to draw, and shares weights with its input.
    taken = sum(weight_bytes(part, dtype) for part in parts.values())
    location = device_maps({"language_model": language_model}, placement, taken)["language_model"]
    dispatch("language_model", language_model, location, placement)
    for part in parts.values():
        part.to(device)
