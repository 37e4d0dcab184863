"""Pictures and templates of HTML pages."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pigeon_rec.runtime.html import data_uri, encode_picture


def _encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "media"), [("PNG", "image/png"), ("WEBP", "image/webp")])
def test_data_uris_carry_the_bytes_unchanged(kind: str, media: str) -> None:
    encoded = _encoded(kind)
    uri = data_uri(encoded)
    assert uri is not None
    head, body = uri.split(",")
    assert head == f"data:{media};base64"
    assert base64.b64decode(body) == encoded


@pytest.mark.parametrize(
    "encoded",
    [None, b"", b"<svg onload='alert(1)'/>", _encoded("PNG")[:300], _encoded("GIF")],
    ids=["none", "empty", "svg", "truncated", "another format"],
)
def test_what_does_not_decode_has_no_uri(encoded: bytes | None) -> None:
    assert data_uri(encoded) is None


def test_encoded_pictures_lose_nothing() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    body = encode_picture(pixels).split(",")[1]
    with Image.open(io.BytesIO(base64.b64decode(body))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels)
