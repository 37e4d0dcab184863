"""Pictures in HTML pages as data URIs, so that a page needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from importlib import resources

import numpy as np
from jinja2 import BaseLoader, Environment, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

__all__ = ["data_uri", "encode_picture", "render_template"]

_MEDIA_TYPES: Mapping[str, str] = {"PNG": "image/png", "WEBP": "image/webp", "JPEG": "image/jpeg"}
_MAX_PIXELS = 4096 * 4096


def data_uri(encoded: bytes | None) -> str | None:
    """Returns an encoded picture as a data URI; `None` if it is missing or does not decode.

    The media type is read from the bytes.
    """
    if not encoded:
        return None
    try:
        with Image.open(io.BytesIO(encoded), formats=tuple(_MEDIA_TYPES)) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None
            image.load()
            media_type = _MEDIA_TYPES[image.format or ""]
    except (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError):
        return None
    return f"data:{media_type};base64,{base64.b64encode(encoded).decode('ascii')}"


def encode_picture(image: NDArray[np.uint8]) -> str:
    """Returns a data URI of `uint8 [height, width, 3]` as lossless WebP."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "WEBP", lossless=True, quality=60, method=3)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def render_template(package: str, name: str, **values: object) -> str:
    """Renders `templates/<name>` of a package; all values are escaped, undefined names raise."""
    environment = Environment(
        loader=BaseLoader(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    source = resources.files(package) / "templates" / name
    return environment.from_string(source.read_text(encoding="utf-8")).render(**values)
