"""Checks of picture bytes against their recorded facts."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from typing import Final

import polars as pl
from PIL import Image

__all__ = ["FORMATS", "MAX_PIXELS", "UNREADABLE", "image_faults", "image_slices"]

_SLICE_BYTES: Final = 64 << 20
_SLICE_ROWS: Final = 1 << 16
FORMATS: Final = ("png", "webp")
MAX_PIXELS: Final = 4096 * 4096

_COLUMNS: Final = ("asset_key", "image", "image_sha256", "format", "width", "height")
# Everything that Pillow raises for damaged files, depending on the damaged byte.
UNREADABLE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def image_faults(assets: pl.DataFrame) -> pl.DataFrame:
    """Finds pictures whose bytes are damaged or do not match their record.

    Checks the SHA-256 of the bytes, the format, the size, the checksums inside the file, and that
    the pixels decode.

    Args:
        assets: Columns `asset_key, image, image_sha256, format, width, height`.

    Returns:
        One row `asset_key, detail` per faulty picture, in the order of `assets`.
    """
    rows = assets.select(_COLUMNS).iter_rows()
    found = [(key, fault) for key, *picture in rows for fault in _faults(*picture)]
    schema = {"asset_key": pl.String, "detail": pl.String}
    return pl.DataFrame(found, schema=schema, orient="row")


def image_slices(assets: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yields the rows in their order, in frames of at most 64 MB of pictures and 65,536 rows.

    A larger picture is alone in its frame. Without rows there is one empty frame.
    """
    ends = assets["image"].bin.size("b").cum_sum().to_numpy()
    start = 0
    while start < assets.height or not start:
        full = (int(ends[start - 1]) if start else 0) + _SLICE_BYTES
        end = min(start + _SLICE_ROWS, int(ends.searchsorted(full, side="right")))
        end = max(end, start + 1)
        yield assets.slice(start, end - start)
        start = end


def _faults(
    image: bytes | None, sha256: str | None, encoding: str | None, width: int, height: int
) -> Iterator[str]:
    """Yields the first fault, if there is one."""
    if not image:
        yield "no bytes"
    elif hashlib.sha256(image).hexdigest() != sha256:
        yield "the bytes do not have the recorded SHA-256"
    elif encoding not in FORMATS:
        yield f"format {encoding!r} is not one of {', '.join(FORMATS)}"
    else:
        yield from _picture_faults(image, encoding, (width, height))


def _picture_faults(image: bytes, encoding: str, size: tuple[int, int]) -> Iterator[str]:
    try:
        with Image.open(io.BytesIO(image), formats=(encoding.upper(),)) as picture:
            if picture.size != size:
                yield f"size {picture.size} is not the recorded {size}"
            elif picture.width * picture.height > MAX_PIXELS:
                yield f"{picture.width} x {picture.height} pixels are more than {MAX_PIXELS}"
            else:
                # Pillow checks either the checksums or the pixels of an opened file, and opening it
                # twice takes most of the time.
                if encoding == "png":
                    _check_png(memoryview(image))
                picture.load()
    except UNREADABLE as error:
        yield f"not a readable {encoding}: {error}"


def _check_png(image: memoryview) -> None:
    """Checks the checksums of all chunks of a file that begins as a PNG.

    Raises:
        ValueError: A checksum is wrong, or the file ends too early.
    """
    start, name = 8, b""
    while name != b"IEND":
        end = start + 8 + int.from_bytes(image[start : start + 4], "big")
        name = bytes(image[start + 4 : start + 8])
        if zlib.crc32(image[start + 4 : end]) != int.from_bytes(image[end : end + 4], "big"):
            raise ValueError(f"the checksum of a chunk {name!r} is wrong")
        if len(image) < end + 4:
            raise ValueError("it ends too early")
        start = end + 4
