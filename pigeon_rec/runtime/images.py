"""Pictures as file bytes, lossless."""

from __future__ import annotations

import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["encode_image"]


def encode_image(image: NDArray[np.uint8], image_format: Literal["png", "webp"]) -> bytes:
    """Returns the lossless file bytes of `uint8 [height, width, 3]`."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if image_format == "webp" else {"optimize": True}
    Image.fromarray(image).save(buffer, format=image_format, **options)
    return buffer.getvalue()
