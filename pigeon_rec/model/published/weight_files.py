"""Tensors of one part by name, from `.bin` or safetensors files, whole or in shards.

`.bin` files are pickles: torch reads them with `weights_only=True`, which allows tensors and plain
containers only and runs no code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from pigeon_rec.errors import ModelError, error_text
from pigeon_rec.runtime.files import read_json

__all__ = ["WeightFiles", "find_weights"]

_TYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }
)
"""Names of dtypes in safetensors headers."""


@dataclass(frozen=True)
class WeightFiles:
    """The files of one part.

    Attributes:
        paths: One file, or shards that share no key.
        location: The folder or file named in messages.
    """

    paths: tuple[Path, ...]
    location: Path

    @property
    def safetensors(self) -> bool:
        """Whether the files are safetensors; otherwise they are `.bin`."""
        return self.paths[0].suffix == ".safetensors"

    def headers(self) -> dict[str, Tensor]:
        """Returns names, shapes and dtypes, as tensors on the meta device.

        Contents are not read, except those of `.bin` files of torch before 1.6.

        Raises:
            ModelError: A file is missing or damaged, or holds anything but tensors by name.
        """
        return dict(self._each(meta=True))

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yields names and tensors, one file after the other, memory-mapped if possible.

        Raises:
            ModelError: As `headers`.
        """
        return self._each(meta=False)

    def _each(self, *, meta: bool) -> Iterator[tuple[str, Tensor]]:
        read = _read_safetensors if self.safetensors else _read_bin
        for path in self.paths:
            try:
                yield from read(path, meta=meta)
            except Exception as error:  # what torch raises depends on the damaged byte
                raise ModelError(
                    f"the weights cannot be read: {error_text(error)}",
                    location=str(path),
                    remedy="Download the file again; only tensors by name are read",
                ) from error


def find_weights(folder: Path, stem: str) -> WeightFiles:
    """Finds the files of a part that a library saved; prefers safetensors to `.bin`.

    Args:
        folder: Their folder.
        stem: `model` and `pytorch_model` for transformers and Pigeon's own checkpoints,
            `diffusion_pytorch_model` for diffusers, `adapter_model` for peft.

    Raises:
        ModelError: No file exists, an index is damaged, or it names a file outside the folder.
    """
    names = [f"{stem}.safetensors", f"{'pytorch_model' if stem == 'model' else stem}.bin"]
    for name in names:
        index = folder / f"{name}.index.json"
        if index.is_file():
            return WeightFiles(tuple(_shards(index)), folder)
        if (folder / name).is_file():
            return WeightFiles((folder / name,), folder / name)
    raise ModelError(
        "the weights are missing",
        location=str(folder),
        remedy=f"Expected {' or '.join(names)}, or their .index.json",
    )


def _shards(index: Path) -> Iterator[Path]:
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"the index is damaged: {error!r}", location=str(index)) from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelError(f"the index names {name!r}, outside its folder", location=str(index))
        yield index.parent / name


def _read_safetensors(path: Path, *, meta: bool) -> Iterator[tuple[str, Tensor]]:
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - no mapping
            if meta:
                header = file.get_slice(name)
                dtype = _TYPES.get(header.get_dtype())
                if dtype is None:
                    raise RuntimeError(f"{name} has the unknown dtype {header.get_dtype()}")
                yield name, torch.empty(header.get_shape(), dtype=dtype, device="meta")
            else:
                yield name, file.get_tensor(name)


def _read_bin(path: Path, *, meta: bool) -> Iterator[tuple[str, Tensor]]:
    # Files of torch before 1.6 are not archives and cannot be memory-mapped.
    mapped, device = zipfile.is_zipfile(path), "meta" if meta else "cpu"
    value: Any = torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    if isinstance(value, Tensor):  # `uncond_embeddings.bin` is one tensor
        value = {"": value}
    if not isinstance(value, Mapping) or not all(isinstance(v, Tensor) for v in value.values()):
        raise RuntimeError("it holds something other than tensors by name")
    yield from value.items()
