"""Each picture tokenised once per training folder, whatever asks for its codes and how often.

The cache is keyed by the content of a picture, so a grown catalogue is tokenised where it has grown
and nowhere else. It belongs to one visual tokenizer: another one starts it anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["cached_codes"]

Encode = Callable[[NDArray[np.uint8]], Tensor]
"""Images uint8 `[n, H, W, 3]` to code rows int64 `[n, P]`."""


def cached_codes(
    path: Path, tokenizer_digest: str, images: NDArray[np.uint8], encode: Encode
) -> Tensor:
    """Code rows int64 `[n, P]` of uint8 images `[n, H, W, 3]`.

    Args:
        path: The cache, a safetensors file; written anew where it lacks a picture, and only then.
        tokenizer_digest: Of the weights that `encode` uses.
        images: All of one size.
        encode: Called once, with the pictures that the cache lacks, each of them once.
    """
    keys = [hashlib.sha256(image.tobytes()).digest() for image in images]
    known = _read(path, tokenizer_digest)
    missing = {key: row for row, key in reversed(list(enumerate(keys))) if key not in known}
    if missing:
        rows = sorted(missing.values())
        fresh = encode(images[rows])
        known |= {keys[row]: codes for row, codes in zip(rows, fresh, strict=True)}
        _write(path, tokenizer_digest, known)
    return torch.stack([known[key] for key in keys]).long()


def _read(path: Path, tokenizer_digest: str) -> dict[bytes, Tensor]:
    """Codes by content hash; none where there is no cache of this tokenizer."""
    try:
        with safe_open(path, "pt") as kept:
            if (kept.metadata() or {}).get("tokenizer") != tokenizer_digest:
                return {}
            hashes, codes = kept.get_tensor("sha256"), kept.get_tensor("codes")
    except (OSError, SafetensorError):
        return {}  # a cache may be lost at any time
    return {bytes(key): row for key, row in zip(hashes.numpy(), codes.long(), strict=True)}


def _write(path: Path, tokenizer_digest: str, known: dict[bytes, Tensor]) -> None:
    flat = np.frombuffer(b"".join(known), np.uint8).copy()  # writable, as torch wants it
    hashes = torch.from_numpy(flat).reshape(len(known), -1)
    codes = torch.stack(list(known.values())).to(torch.int32)
    fresh = path.with_suffix(".new")
    save_file({"sha256": hashes, "codes": codes}, fresh, metadata={"tokenizer": tokenizer_digest})
    fresh.replace(path)
