"""Reads one untrusted picture."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from pigeon_rec.errors import ImageError, error_text
from pigeon_rec.runtime.storage import filesystem

__all__ = [
    "IMAGE_SUFFIXES",
    "BrokenImage",
    "check",
    "decode",
    "read_file",
    "read_image",
    "within_limit",
]

IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".gif")

MAX_BYTES = 16 * 2**20
MAX_PIXELS = 4096 * 4096
_FORMATS = ("PNG", "WEBP", "JPEG", "GIF")
_LOCAL_PROTOCOLS = ("file", "local")
_TURN = Image.Transpose
_TURNS: Mapping[object, Image.Transpose] = MappingProxyType(
    {
        2: _TURN.FLIP_LEFT_RIGHT,
        3: _TURN.ROTATE_180,
        4: _TURN.FLIP_TOP_BOTTOM,
        5: _TURN.TRANSPOSE,
        6: _TURN.ROTATE_270,
        7: _TURN.TRANSVERSE,
        8: _TURN.ROTATE_90,
    }
)
"""What turns a picture of this EXIF orientation upright."""


class BrokenImage(ImageError):
    """A picture is unusable; `kind` is the stable code of the reason.

    Callers in this package turn it into a `Problem`.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


def read_image(
    content: bytes | None, uri: str, sha256: str, root: Path | None, *, remote: bool = False
) -> bytes:
    """Returns the encoded bytes of a picture: `content`, or else those at `uri` (`read_file`).

    Raises:
        BrokenImage: `image_path`, `image_missing`, `image_too_large` or `image_hash`.
    """
    data = read_file(uri, root, remote=remote) if content is None else within_limit(content)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise BrokenImage("image_hash", f"the image hashes to {found}, not to {sha256}")
    return data


def decode(
    data: bytes,
    size: int | tuple[int, int],
    *,
    stretch: bool = False,
    background: str = "#ffffff",
) -> npt.NDArray[np.uint8]:
    """Decodes to RGB, upright by its EXIF orientation, uint8 `[height, width, 3]`.

    Args:
        data: The encoded picture.
        size: Height and width; one number for a square.
        stretch: Fill the whole size; otherwise the picture keeps its proportions and is centred.
        background: Colour behind transparent pixels and beside a centred picture.

    Raises:
        BrokenImage: `image_too_large` before decoding, or `image_corrupt`.
    """
    shape = (size, size) if isinstance(size, int) else size
    with _opened(data) as image:
        return _fit(_upright(image, _rgba(image, data)), shape, stretch, background)


def check(data: bytes) -> str:
    """Decodes a picture, as small as its format allows, and returns the suffix of its format.

    Raises:
        BrokenImage: As `decode`.
    """
    with _opened(data) as image:
        image.draft("RGB", (64, 64))  # a JPEG is decoded at a fraction of its size
        image.load()
        return f".{str(image.format).lower()}"


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Opens a picture within the limits; errors of any kind inside the block mean it is broken."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise BrokenImage(
                    "image_too_large", f"the image has {width}x{height} pixels, over {MAX_PIXELS}"
                )
            yield image
    except BrokenImage:
        raise
    except Image.DecompressionBombError as error:
        raise BrokenImage("image_too_large", f"the image is too large: {error}") from error
    except Exception as error:  # Pillow raises errors of any kind for a broken file
        why = error_text(error)
        raise BrokenImage("image_corrupt", f"the image cannot be decoded: {why}") from error


def read_file(uri: str, root: Path | None, *, remote: bool = False) -> bytes:
    """Returns the bytes of the file `root / uri`, which must lie inside `root`.

    With `remote`, `uri` may be an fsspec address such as `s3://bucket/boat.png` as well.

    Raises:
        BrokenImage: `image_path`, `image_missing` or `image_too_large`.
    """
    if "://" in uri:
        return _read_address(uri, remote=remote)
    if root is None:
        raise BrokenImage("image_missing", "the catalogue has neither image bytes nor a folder")
    try:
        base = root.resolve()
        path = (base / uri).resolve()  # follows links, which could also lead outside
        if not path.is_relative_to(base):
            raise BrokenImage("image_path", "the image lies outside the catalogue's folder")
        if not path.is_file():
            raise BrokenImage("image_missing", "there is no such image file")
        with path.open("rb") as file:
            return within_limit(file.read(MAX_BYTES + 1))
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a loop
        why = error_text(error)
        raise BrokenImage("image_missing", f"the image cannot be read: {why}") from error


def _read_address(uri: str, *, remote: bool) -> bytes:
    protocol = uri.partition("://")[0].lower()
    if not remote or protocol in _LOCAL_PROTOCOLS:
        raise BrokenImage(
            "image_path", f"the image is at a {protocol}:// address, which is not read unless asked"
        )
    try:
        fs, path = filesystem(uri)
        with fs.open(path, "rb") as file:
            return within_limit(file.read(MAX_BYTES + 1))
    except BrokenImage:
        raise
    except Exception as error:  # a protocol's package raises errors of its own
        why = error_text(error)
        raise BrokenImage("image_missing", f"the image cannot be read: {why}") from error


def within_limit(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise BrokenImage("image_too_large", f"the image has more than {MAX_BYTES} bytes")
    return data


def _rgba(image: Image.Image, data: bytes) -> Image.Image:
    """Converts to RGBA; Pillow alone misreads 16-bit grey, and the key colour of some PNGs."""
    key = image.info.get("transparency")
    if image.mode.startswith("I"):  # 16-bit grey
        values = np.asarray(image)
        grey = Image.fromarray((values >> 8).astype(np.uint8))
        alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
        return Image.merge("RGBA", (grey, grey, grey, alpha))
    if image.format == "PNG" and key is not None and image.mode in ("L", "RGB"):
        bits = data[24]  # the key has the file's depth, Pillow's pixels have 8 bits
        scaled = [
            part >> 8 if bits == 16 else part * 255 // (2**bits - 1) for part in np.ravel(key)
        ]
        image.info["transparency"] = tuple(scaled) if image.mode == "RGB" else scaled[0]
    return image.convert("RGBA")


def _upright(image: Image.Image, pixels: Image.Image) -> Image.Image:
    """Turns `pixels` as the EXIF orientation of `image` says."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # noqa: BLE001 - damaged EXIF is no reason to lose the picture
        turn = None
    return pixels if turn is None else pixels.transpose(turn)


def _fit(
    image: Image.Image, size: tuple[int, int], stretch: bool, background: str
) -> npt.NDArray[np.uint8]:
    height, width = size
    scale = min(width / image.width, height / image.height)
    kept = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    target = (width, height) if stretch else kept
    if image.size != target:
        image = image.resize(target, Image.Resampling.LANCZOS)
    page = Image.new("RGBA", (width, height), background)
    page.alpha_composite(image, ((width - image.width) // 2, (height - image.height) // 2))
    return np.asarray(page.convert("RGB"), dtype=np.uint8)
