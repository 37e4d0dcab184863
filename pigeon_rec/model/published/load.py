"""Loads a folder of the published layout as a pipeline."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import LlamaTokenizer

from pigeon_rec.errors import ModelError
from pigeon_rec.model.placing import (
    DeviceMap,
    check_device,
    device_maps,
    dispatch,
    torch_dtype,
    weight_bytes,
)
from pigeon_rec.model.published.folder import PublishedFolder, Resolution, usable
from pigeon_rec.model.published.key_maps import KEY_MAPS, OWN, KeyMap, fill
from pigeon_rec.model.published.parts import (
    PublishedParts,
    add_lora,
    build_parts,
    computed_buffers,
)
from pigeon_rec.model.published.pipeline import PublishedPipeline
from pigeon_rec.model.published.quantised import quantised_language_model
from pigeon_rec.model.published.sizes import PublishedSizes, measure
from pigeon_rec.model.published.weight_files import WeightFiles
from pigeon_rec.model.text_tokenizer import TextTokenizer
from pigeon_rec.placement import Placement

__all__ = ["load_published"]


def load_published(  # noqa: PLR0913 - each part of the published layout may lie elsewhere
    root: str | Path,
    *,
    resolution: Resolution | None = None,
    checkpoint: Path | None = None,
    lora: Path | None = None,
    size: tuple[int, int] | None = None,
    batch_size: int = 16,
    placement: Placement | None = None,
) -> PublishedPipeline:
    """Loads LaVIT's folder and Pigeon's checkpoint.

    Args:
        root: Folder with `language_model/`, `visual_tokenizer/` and the pixel decoder.
        resolution: `highres` (SDXL, the default if present) or `lowres`.
        checkpoint: Folder with `mask_generator/` and `adapter/`, if not `root`.
        lora: Folder of the language model's adapter, if not `llama/` in the checkpoint; stage 2
            saves only this one.
        size: Height and width of images, by default square at the UNet's size (1024 for SDXL).
            LaVIT was also trained at 2:3: (1216, 832).
        batch_size: Requests per batch.
        placement: Devices and dtype; float32 on the CPU by default.

    Raises:
        ModelError: A file is missing, damaged or refused, a key is missing or unknown, shapes do
            not fit (the message names file and key), or the placement is not possible here.
    """
    placement = placement or Placement()
    check_device(placement.device)
    folder = PublishedFolder.find(Path(root), resolution, checkpoint, lora)
    files = folder.files()
    sizes = measure(folder, files)
    with usable("the saved settings", folder.root):
        parts = build_parts(sizes, size)
        parts.generator.sampler()
    _Loader(parts, files, sizes, folder, placement).load()
    return PublishedPipeline(sizes.config, parts, _text(folder), batch_size, placement)


class _Loader:
    """Loads parts from the meta device to their final devices."""

    def __init__(
        self,
        parts: PublishedParts,
        files: dict[str, WeightFiles],
        sizes: PublishedSizes,
        folder: PublishedFolder,
        placement: Placement,
    ) -> None:
        self.parts, self.files, self.sizes = parts, files, sizes
        self.folder, self.placement = folder, placement

    def load(self) -> None:
        """Loads all parts, without gradients."""
        parts, maps = self.parts, self._device_maps()
        for name in parts.by_file():
            if name == "language_model":
                self._load_language_model()
            else:
                self._load(name)
            if name in maps:
                dispatch(name, self._spread()[name], maps[name], self.placement)
        parts.personalisation.language_model.lm_head.to(self.placement.device)
        if "unconditional" in self.files:
            (_, empty), *_ = self.files["unconditional"].tensors()
            parts.generator.unconditional = empty.to(self.placement.device, self._dtype("unet"))
        for module in (parts.tokenizer, parts.decoder, parts.personalisation, parts.generator):
            module.requires_grad_(False)

    def _spread(self) -> dict[str, nn.Module]:
        """The modules that are spread over devices; not the head, whose rows are sliced."""
        model = self.parts.personalisation.language_model.model
        return {"language_model": model, "unet": self.parts.generator.unet}

    def _device_maps(self) -> dict[str, DeviceMap]:
        if self.placement.memory is None:
            return {}
        spread = self._spread()
        together = {
            name: module
            for name, module in self.parts.by_file().items()
            if name not in {*spread, "visual_encoder"}  # the encoder is inside the tokenizer
        }
        together["language_model"] = self.parts.personalisation.language_model.lm_head
        taken = sum(weight_bytes(module, self._dtype(name)) for name, module in together.items())
        return device_maps(spread, self.placement, taken)

    def _load(self, name: str) -> None:
        module = self.parts.by_file()[name]
        key_map = KEY_MAPS.get(f"{name}/{self.folder.resolution}", KEY_MAPS[name])
        self._fill(name, module, key_map, OWN.get(name, ""))

    def _load_language_model(self) -> None:
        personalisation, location = self.parts.personalisation, self.files["lora"].location
        if self.placement.quantisation is None:
            self._load("language_model")
            computed_buffers(personalisation.language_model, self._device("language_model"))
        else:
            personalisation.language_model = quantised_language_model(
                personalisation.language_model, self.files["language_model"], self.placement
            )
        with usable("the adapter's settings", location):
            add_lora(personalisation.language_model, self.sizes.lora)
        self._fill("lora", personalisation.language_model, KEY_MAPS["lora"], r"\.lora_")

    def _fill(self, name: str, module: nn.Module, key_map: KeyMap, only: str) -> None:
        dtype, device = self._dtype(name), self._device(name)
        fill(module, key_map, self.files[name], only, dtype=dtype, device=device)

    def _device(self, name: str) -> str:
        """Device a part is loaded to: the CPU if it is spread afterwards."""
        spread = self.placement.memory is not None and name in {"language_model", "lora", "unet"}
        return "cpu" if spread else self.placement.device

    def _dtype(self, name: str) -> torch.dtype:
        """Dtype of a part; float32 for an autoencoder whose settings have `force_upcast`."""
        upcast = name == "vae" and self.sizes.vae.get("force_upcast", True)
        return torch.float32 if upcast else torch_dtype(self.placement)


def _text(folder: PublishedFolder) -> TextTokenizer:
    """LLaMA's own text tokenizer (`tokenizer.model` or `tokenizer.json`)."""
    location = folder.language_model
    if not any((location / name).is_file() for name in ("tokenizer.model", "tokenizer.json")):
        raise ModelError(
            "the text tokenizer is missing", location=str(location / "tokenizer.model")
        )
    with usable("the text tokenizer", location):
        tokenizer = LlamaTokenizer.from_pretrained(str(location), local_files_only=True)
    return TextTokenizer(tokenizer.backend_tokenizer)
