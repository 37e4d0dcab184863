"""Reads one untrusted picture."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pigeon_rec.errors import ImageError

__all__ = ["BrokenImage", "decode", "read_file", "read_image"]

MAX_BYTES = 16 * 2**20
MAX_PIXELS = 4096 * 4096
_FORMATS = ("PNG", "WEBP", "JPEG", "GIF")


class BrokenImage(ImageError):
    """A picture is unusable; `kind` is the stable code of the reason.

    Callers in this package turn it into a `Problem`.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def read_image(content: bytes | None, uri: str, sha256: str, root: Path | None) -> bytes:
    """Returns the encoded bytes of a picture: `content`, or else the file `root / uri`.

    Raises:
        BrokenImage: `image_path`, `image_missing`, `image_too_large` or `image_hash`.
    """
    data = read_file(uri, root) if content is None else _within_limit(content)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BrokenImage("image_hash", f"the image hashes to {found}, not to {sha256}")
    return data


def decode(
    data: bytes, size: int | tuple[int, int], *, stretch: bool = False
) -> npt.NDArray[np.uint8]:
    """Decodes to RGB on white, uint8 `[height, width, 3]`.

    Args:
        data: The encoded picture.
        size: Height and width; one number for a square.
        stretch: Fill the whole size; otherwise the picture keeps its proportions and is centred.

    Raises:
        BrokenImage: `image_too_large` before decoding, or `image_corrupt`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BrokenImage(
                    "image_too_large", f"the image has {width}x{height} pixels, over {MAX_PIXELS}"
                )
            shape = (size, size) if isinstance(size, int) else size
            return _fit(image.convert("RGBA"), shape, stretch)
    except Image.DecompressionBombError as error:
        raise BrokenImage("image_too_large", f"the image is too large: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow raises any of these for a broken file.
        raise BrokenImage("image_corrupt", f"the image cannot be decoded: {error}") from error


def read_file(uri: str, root: Path | None) -> bytes:
    """Returns the bytes of the file `root / uri`, which must lie inside `root`.

    Raises:
        BrokenImage: `image_path`, `image_missing` or `image_too_large`.
    """
    if root is None:
        raise BrokenImage("image_missing", "the catalogue has neither image bytes nor a folder")
    base = root.resolve()
    try:
        path = (base / uri).resolve()  # follows links, which could also lead outside
        if not path.is_relative_to(base):
            raise BrokenImage("image_path", "the image lies outside the catalogue's folder")
        if not path.is_file():
            raise BrokenImage("image_missing", "there is no such image file")
        with path.open("rb") as file:
            return _within_limit(file.read(MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        raise BrokenImage("image_missing", f"the image cannot be read: {error}") from error


def _within_limit(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise BrokenImage("image_too_large", f"the image has more than {MAX_BYTES} bytes")
    return data


def _fit(image: Image.Image, size: tuple[int, int], stretch: bool) -> npt.NDArray[np.uint8]:
    height, width = size
    scale = min(width / image.width, height / image.height)
    kept = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    target = (width, height) if stretch else kept
    if image.size != target:
        image = image.resize(target, Image.Resampling.LANCZOS)
    page = Image.new("RGBA", (width, height), "white")
    page.alpha_composite(image, ((width - image.width) // 2, (height - image.height) // 2))
    return np.asarray(page.convert("RGB"), dtype=np.uint8)
