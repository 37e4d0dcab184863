"""A cache of image codes, so that a training folder tokenises each image once.

Entries are keyed by image content: when the catalogue grows, only its new images are tokenised. The
cache belongs to one visual tokenizer and is discarded when the tokenizer changes.
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

from pigeon_rec.runtime.files import replacing

__all__ = ["cached_codes"]

Encode = Callable[[NDArray[np.uint8]], Tensor]
"""Images uint8 `[n, H, W, 3]` to code rows int64 `[n, P]`."""


def cached_codes(
    path: Path, tokenizer_digest: str, images: NDArray[np.uint8], encode: Encode
) -> Tensor:
    """Code rows int64 `[n, P]` of uint8 images `[n, H, W, 3]`.

    Args:
        path: The cache, a safetensors file; rewritten only if an image is missing from it.
        tokenizer_digest: Digest of the weights that `encode` uses.
        images: Images of one size.
        encode: Called at most once, with the distinct images that are missing from the cache.
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
    """Codes by content hash; empty if there is no cache of this tokenizer."""
    try:
        with safe_open(path, "pt") as cache:
            if (cache.metadata() or {}).get("tokenizer") != tokenizer_digest:
                return {}
            hashes, codes = cache.get_tensor("sha256"), cache.get_tensor("codes")
    except (OSError, SafetensorError):
        return {}  # a missing or damaged cache is rebuilt
    return {bytes(key): row for key, row in zip(hashes.numpy(), codes.long(), strict=True)}


def _write(path: Path, tokenizer_digest: str, known: dict[bytes, Tensor]) -> None:
    flat = np.frombuffer(b"".join(known), np.uint8).copy()  # writable, as torch wants it
    hashes = torch.from_numpy(flat).reshape(len(known), -1)
    codes = torch.stack(list(known.values())).to(torch.int32)
    tensors = {"sha256": hashes, "codes": codes}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"tokenizer": tokenizer_digest})
