from __future__ import annotations

import hashlib
import io
import struct
import zlib

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pigeon_rec.warehouse import image_faults
from tests.warehouse.nights import picture


def frame(
    image: bytes | None, encoding: str = "png", size: tuple[int, int] = (4, 4)
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "asset_key": ["k"],
            "image": pl.Series([image], dtype=pl.Binary),
            "image_sha256": [hashlib.sha256(image or b"").hexdigest()],
            "format": [encoding],
            "width": [size[0]],
            "height": [size[1]],
        }
    )


def bomb(side: int) -> bytes:
    """The header of a huge PNG, and no pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 0)
        + b"IDAT"
        + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


@pytest.mark.parametrize("encoding", ["png", "webp"])
def test_a_sound_picture_has_no_fault(encoding: str) -> None:
    faults = image_faults(frame(picture("a", encoding.upper()), encoding))
    assert faults.height == 0
    assert faults.schema == {"asset_key": pl.String, "detail": pl.String}


@pytest.mark.parametrize(
    ("image", "encoding", "size", "detail"),
    [
        (None, "png", (4, 4), "no bytes"),
        (b"", "png", (4, 4), "no bytes"),
        (b"GIF89a", "png", (4, 4), "not a readable png"),
        (picture("a", "WEBP"), "png", (4, 4), "not a readable png"),
        (picture("a", "JPEG"), "jpeg", (4, 4), "format 'jpeg' is not one of png, webp"),
        (picture("a")[:-20], "png", (4, 4), "not a readable png"),
        (picture("a", "WEBP")[:20], "webp", (4, 4), "not a readable webp"),
        (picture("a"), "png", (4, 5), "size (4, 4) is not the recorded (4, 5)"),
        (bomb(5000), "png", (5000, 5000), "5000 x 5000 pixels are more than 16777216"),
        (bomb(60000), "png", (60000, 60000), "not a readable png"),
    ],
)
def test_faults_are_found(
    image: bytes | None, encoding: str, size: tuple[int, int], detail: str
) -> None:
    [(key, found)] = image_faults(frame(image, encoding, size)).rows()
    assert key == "k"
    assert found.startswith(detail)


def test_pixels_have_to_decode_behind_a_sound_header() -> None:
    """Every checksum of this PNG is right, but its pixels are no zlib stream."""
    sound = picture("a")
    at = sound.index(b"IDAT") - 4
    length = int.from_bytes(sound[at : at + 4], "big")
    chunk = b"IDAT" + b"\x00" * length
    damaged = (
        sound[: at + 4] + chunk + struct.pack(">I", zlib.crc32(chunk)) + sound[at + 12 + length :]
    )
    [(_, found)] = image_faults(frame(damaged)).rows()
    assert found.startswith("not a readable png")


def test_faults_name_only_the_faulty_in_order() -> None:
    good = frame(picture("a"))
    bad = good.with_columns(asset_key=pl.lit("b"), image_sha256=pl.lit("0" * 64))
    worse = good.with_columns(asset_key=pl.lit("w"), format=pl.lit(None, dtype=pl.String))
    faults = image_faults(pl.concat([bad, good, worse]))
    assert faults["asset_key"].to_list() == ["b", "w"]
    assert faults["detail"][0] == "the bytes do not have the recorded SHA-256"


@given(
    encoding=st.sampled_from(["png", "webp"]),
    position=st.floats(0, 1),
    junk=st.binary(max_size=12),
    cut=st.booleans(),
)
def test_damaged_bytes_never_raise(encoding: str, position: float, junk: bytes, cut: bool) -> None:
    whole = picture("a", encoding.upper())
    at = int(position * len(whole))
    damaged = whole[:at] + junk + (b"" if cut else whole[at + len(junk) :])
    faults = image_faults(frame(damaged, encoding))
    if faults.height == 0:
        with Image.open(io.BytesIO(damaged)) as image:
            assert image.size == (4, 4)
