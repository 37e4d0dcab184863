"""Metadata chunks of PNG and WebP files; pixels and all other bytes stay as they are."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Final

from PIL import Image

__all__ = ["with_metadata", "without_metadata"]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD: Final = b"XML:com.adobe.xmp"

_ALPHA: Final = 0x10
_XMP: Final = 0x04
_PLAIN: Final = frozenset({b"VP8 ", b"VP8L"})
"""A WebP file of one of these chunks alone has no VP8X, the header that announces metadata."""


def with_metadata(image: bytes, encoding: str, xmp: bytes, texts: Mapping[str, str]) -> bytes:
    """Returns the file with an XMP packet and, in a PNG, text chunks.

    Args:
        image: A PNG or WebP file without XMP.
        encoding: `png` or `webp`.
        xmp: The packet, in UTF-8.
        texts: Keyword -> text of the text chunks.
    """
    if encoding == "webp":
        return _webp_with(image, xmp)
    header, *others = _png_chunks(image)
    ours = [_png_text(name.encode("latin-1"), text.encode()) for name, text in texts.items()]
    return b"".join((_PNG, header, _png_text(_XMP_KEYWORD, xmp), *ours, *others))


def without_metadata(image: bytes, encoding: str, keywords: Iterable[str]) -> bytes:
    """Returns the file without XMP, C2PA manifest and the text chunks of these keywords."""
    if encoding == "webp":
        return _webp_without(image)
    names = {_XMP_KEYWORD, *(name.encode("latin-1") for name in keywords)}
    kept = [
        chunk
        for chunk in _png_chunks(image)
        if chunk[4:8] != b"caBX"
        and not (chunk[4:8] == b"iTXt" and chunk[8:].partition(b"\0")[0] in names)
    ]
    return b"".join((_PNG, *kept))


def _png_chunks(image: bytes) -> list[bytes]:
    """Splits a PNG into whole chunks: length, name, content and checksum."""
    chunks, start = [], len(_PNG)
    while start < len(image):
        end = start + 12 + int.from_bytes(image[start : start + 4], "big")
        chunks.append(image[start:end])
        start = end
    return chunks


def _png_text(keyword: bytes, text: bytes) -> bytes:
    """Returns an uncompressed international text chunk."""
    named = b"iTXt" + keyword + b"\0\0\0\0\0" + text
    return struct.pack(">I", len(named) - 4) + named + struct.pack(">I", zlib.crc32(named))


def _webp_with(image: bytes, xmp: bytes) -> bytes:
    chunks = _webp_chunks(image)
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _webp_header(image)))
    name, header = chunks[0]
    chunks[0] = (name, bytes([header[0] | _XMP]) + header[1:])
    return _webp_file([*chunks, (b"XMP ", xmp)])


def _webp_without(image: bytes) -> bytes:
    kept = [(name, body) for name, body in _webp_chunks(image) if name not in (b"XMP ", b"C2PA")]
    if kept[0][0] == b"VP8X":
        name, header = kept[0]
        plain = len(kept) == 2 and kept[1][0] in _PLAIN
        kept[:1] = [] if plain else [(name, bytes([header[0] & ~_XMP]) + header[1:])]
    return _webp_file(kept)


def _webp_header(image: bytes) -> bytes:
    with Image.open(io.BytesIO(image), formats=("WEBP",)) as picture:
        width, height = picture.size
        flags = _ALPHA if picture.mode == "RGBA" else 0
    return (
        struct.pack("<I", flags)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )


def _webp_chunks(image: bytes) -> list[tuple[bytes, bytes]]:
    chunks, start = [], 12
    while start < len(image):
        size = int.from_bytes(image[start + 4 : start + 8], "little")
        chunks.append((image[start : start + 4], image[start + 8 : start + 8 + size]))
        start += 8 + size + size % 2
    return chunks


def _webp_file(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(part)) + part + bytes(len(part) % 2) for name, part in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body
