"""Decoding: orientation, depths, colour modes and transparency of untrusted pictures."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from pigeon_rec.data._images import decode
from tests.data.png_file import chunk, png_file

GREYS = (0, 64, 128, 255)
"""The first row of the picture that `shown` decodes, unless a test says otherwise."""


def shown(data: bytes) -> list[tuple[int, ...]]:
    """The first row of a 4x4 picture."""
    return [tuple(pixel) for pixel in decode(data, 4)[0].tolist()]


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_photos_are_upright_by_their_exif_orientation(kind: str, orientation: int) -> None:
    corners = np.array([[0, 60, 120, 120]], dtype=np.uint8)
    upright = np.concatenate([corners, corners + 60, corners + 120, corners + 120]).repeat(8, 0)
    upright = upright.repeat(8, 1)
    # How a camera stores the scene: the inverse of what turns it upright.
    stored = {
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }.get(orientation, upright)
    exif = Image.Exif()
    exif[0x112] = orientation
    out = io.BytesIO()
    Image.fromarray(stored).convert("RGB").save(out, kind, exif=exif, quality=95, lossless=True)
    found = decode(out.getvalue(), 32)[..., 0].astype(int)
    assert np.abs(found - upright).max() <= 4


def test_a_picture_with_damaged_exif_is_shown_as_it_is_stored() -> None:
    grey = [bytes(GREYS)] * 4
    for exif in (b"", b"MM\0*", b"II*\0\xff\xff\xff\xff", b"nonsense"):
        data = png_file(8, 0, grey, before=chunk(b"eXIf", exif))
        assert shown(data) == [(grey,) * 3 for grey in GREYS]


def test_sixteen_bits_keep_their_brightness() -> None:
    grey = [struct.pack(">4H", 0, 0x4000, 0x8000, 0xFFFF)] * 4
    assert shown(png_file(16, 0, grey)) == [(grey,) * 3 for grey in GREYS]
    red = [struct.pack(">12H", 0, 0, 0, 0x4000, 0, 0, 0x8000, 0, 0, 0xFFFF, 0, 0)] * 4
    assert shown(png_file(16, 2, red)) == [(grey, 0, 0) for grey in GREYS]


@pytest.mark.parametrize(
    ("bits", "row", "key", "values"),
    [
        (2, bytes([0b00011011]), 1, (0, 255, 170, 255)),
        (4, bytes([0x04, 0x8F]), 4, (0, 255, 136, 255)),
        (8, bytes(GREYS), 64, (0, 255, 128, 255)),
        (16, struct.pack(">4H", 0, 0x4000, 0x8000, 0xFFFF), 0x4000, (0, 255, 128, 255)),
    ],
)
def test_the_transparent_grey_of_a_png_is_white_at_every_depth(
    bits: int, row: bytes, key: int, values: tuple[int, ...]
) -> None:
    data = png_file(bits, 0, [row] * 4, before=chunk(b"tRNS", struct.pack(">H", key)))
    assert shown(data) == [(value,) * 3 for value in values]


def test_the_transparent_colour_of_a_png_is_white_at_every_depth() -> None:
    small = [bytes([0, 0, 0, 64, 0, 0, 128, 0, 0, 255, 0, 0])] * 4
    large = [struct.pack(">12H", 0, 0, 0, 0x4000, 0, 0, 0x8000, 0, 0, 0xFFFF, 0, 0)] * 4
    for bits, rows, key in ((8, small, 64), (16, large, 0x4000)):
        clear = chunk(b"tRNS", struct.pack(">3H", key, 0, 0))
        found = shown(png_file(bits, 2, rows, before=clear))
        assert found == [(0, 0, 0), (255, 255, 255), (128, 0, 0), (255, 0, 0)]


def test_transparent_colours_of_palettes_are_white() -> None:
    colours = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0]))
    clear = chunk(b"tRNS", bytes([255, 0, 128]))
    expected = [(255, 0, 0), (255, 255, 255), (127, 127, 255), (0, 0, 0)]
    assert shown(png_file(8, 3, [bytes(range(4))] * 4, before=colours + clear)) == expected
    assert shown(png_file(4, 3, [bytes([0x01, 0x23])] * 4, before=colours + clear)) == expected
    gif = Image.new("P", (4, 4))
    gif.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0])
    gif.putdata([0, 1, 2, 3] * 4)
    out = io.BytesIO()
    gif.save(out, "GIF", transparency=1)
    assert shown(out.getvalue()) == [(255, 0, 0), (255, 255, 255), (0, 0, 255), (0, 0, 0)]


@pytest.mark.parametrize(
    ("ink", "colour"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_cmyk_inks_become_their_colours(ink: tuple[int, ...], colour: tuple[int, ...]) -> None:
    out = io.BytesIO()
    Image.new("CMYK", (4, 4), ink).save(out, "JPEG", quality=95)
    assert np.abs(np.array(shown(out.getvalue())) - colour).max() <= 3
