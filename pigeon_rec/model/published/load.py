"""Loads the published layout as a pipeline (`PigeonPipeline.from_pretrained` calls this)."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from transformers import LlamaTokenizer

from pigeon_rec.errors import ModelError
from pigeon_rec.model.image_generator import ImageGenerator
from pigeon_rec.model.published.folder import PublishedFolder, Resolution, usable
from pigeon_rec.model.published.key_maps import KEY_MAPS, fill
from pigeon_rec.model.published.parts import (
    PublishedParts,
    add_lora,
    build_parts,
    computed_buffers,
)
from pigeon_rec.model.published.pipeline import PublishedPipeline
from pigeon_rec.model.published.sizes import PublishedSizes, measure
from pigeon_rec.model.published.weight_files import WeightFiles
from pigeon_rec.model.text_tokenizer import TextTokenizer

__all__ = ["load_published"]

_OWN = {"visual_tokenizer": r"^(?!encoder\.)"}
"""Parts whose files hold some of their module's weights only."""


def load_published(
    root: str | Path,
    *,
    resolution: Resolution | None = None,
    checkpoint: Path | None = None,
    lora: Path | None = None,
    size: tuple[int, int] | None = None,
    batch_size: int = 16,
) -> PublishedPipeline:
    """Loads LaVIT's folder and Pigeon's checkpoint, in float32 on the CPU.

    Args:
        root: Folder with `language_model/`, `visual_tokenizer/` and the pixel decoder.
        resolution: `highres` (SDXL, the default where it is there) or `lowres`.
        checkpoint: Folder with `mask_generator/` and `adapter/`, if not `root`.
        lora: Folder of the language model's adapter, if not `llama/` in the checkpoint; stage 2
            saves only this one.
        size: Height and width of pictures, by default square at the UNet's size (1024 for SDXL).
            LaVIT was trained at 2:3 too: (1216, 832).
        batch_size: Rows of one batch of arithmetic.

    Raises:
        ModelError: A file is missing, damaged or refused, a key is missing or left over, or shapes
            do not fit; the message names file and key.
    """
    folder = PublishedFolder.find(Path(root), resolution, checkpoint, lora)
    files = folder.files()
    sizes = measure(folder, files)
    with usable("the saved settings", folder.root):
        parts = build_parts(sizes, size)
        parts.generator.sampler()
    _fill_all(parts, files, sizes, folder.resolution)
    return PublishedPipeline(
        sizes.config,
        parts.tokenizer,
        parts.decoder,
        parts.personalisation,
        cast(ImageGenerator, parts.generator),
        _text(folder),
        batch_size,
    )


def _fill_all(
    parts: PublishedParts, files: dict[str, WeightFiles], sizes: PublishedSizes, resolution: str
) -> None:
    for name, module in parts.by_file().items():
        key_map = KEY_MAPS.get(f"{name}/{resolution}", KEY_MAPS[name])
        fill(module, key_map, files[name], _OWN.get(name, ""))
    language_model = parts.personalisation.language_model
    computed_buffers(language_model)
    with usable("the adapter's settings", files["lora"].where):
        add_lora(language_model, sizes.lora)
    fill(language_model, KEY_MAPS["lora"], files["lora"], r"\.lora_")
    if "unconditional" in files:
        parts.generator.unconditional = dict(files["unconditional"].tensors())[""].float()
    for module in (parts.tokenizer, parts.decoder, parts.personalisation, parts.generator):
        module.requires_grad_(False)


def _text(folder: PublishedFolder) -> TextTokenizer:
    """LLaMA's own text tokenizer (`tokenizer.model`, or `tokenizer.json` where there is one)."""
    where = folder.language_model
    if not any((where / name).is_file() for name in ("tokenizer.model", "tokenizer.json")):
        raise ModelError("the text tokenizer is missing", where=str(where / "tokenizer.model"))
    with usable("the text tokenizer", where):
        tokenizer = LlamaTokenizer.from_pretrained(str(where), local_files_only=True)
    return TextTokenizer(tokenizer.backend_tokenizer)
