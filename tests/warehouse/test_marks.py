from __future__ import annotations

import io
import random
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from pigeon_rec.warehouse.marks import (
    GENERATED,
    Mark,
    mark_picture,
    read_mark,
    unmark_picture,
)

KEY = "0f" * 32
MARK = Mark("sticker-64@1f2e", KEY)
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
 <Iptc4xmpExt:DigitalSourceType>{}</Iptc4xmpExt:DigitalSourceType>
 <Iptc4xmpExt:AISystemVersionUsed>v7</Iptc4xmpExt:AISystemVersionUsed>
</rdf:Description></rdf:RDF></x:xmpmeta>"""

# What XML can hold; line ends become "\n" when any XML is read.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
SIZES = st.integers(1, 17)
KINDS = st.sampled_from(["png", "webp", "lossy webp"])


def picture(
    kind: str, width: int = 9, height: int = 7, mode: str = "RGB", **options: Any
) -> tuple[bytes, str]:
    """A picture of noise, and the name of its format."""
    levels = np.random.default_rng(width * 31 + height).integers(
        0, 256, (height, width, len(mode)), np.uint8
    )
    stream = io.BytesIO()
    encoding = kind.removeprefix("lossy ")
    if kind == "webp":
        options["lossless"] = True
    Image.fromarray(levels).save(stream, encoding, **options)
    return stream.getvalue(), encoding


def pixels(image: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(image)) as opened:
        return opened.mode, opened.size, opened.tobytes()


@settings(deadline=None)
@given(KINDS, SIZES, SIZES, st.sampled_from(["RGB", "RGBA"]), TEXTS, TEXTS)
def test_a_mark_is_read_back_and_leaves_the_picture(
    kind: str, width: int, height: int, mode: str, version: str, key: str
) -> None:
    drawn, encoding = picture(kind, width, height, mode)
    mark = Mark(version, key)
    marked = mark_picture(drawn, encoding, mark)
    assert read_mark(marked) == mark
    assert pixels(marked) == pixels(drawn)
    assert unmark_picture(marked, encoding) == drawn
    assert mark_picture(marked, encoding, mark) == marked
    assert read_mark(drawn) is None
    assert unmark_picture(drawn, encoding) == drawn


def test_a_png_says_it_as_text_and_as_xmp() -> None:
    image, encoding = picture("png")
    with Image.open(io.BytesIO(mark_picture(image, encoding, MARK))) as opened:
        assert isinstance(opened, PngImagePlugin.PngImageFile)
        texts = dict(opened.text)
        packet = texts.pop("XML:com.adobe.xmp")
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert texts == {
        "DigitalSourceType": source, "ModelVersion": MARK.model_version, "AssetKey": KEY,
    }  # fmt: skip
    assert f'Iptc4xmpExt:DigitalSourceType="{source}"' in packet
    assert f'Iptc4xmpExt:AISystemVersionUsed="{MARK.model_version}"' in packet
    assert f'dc:identifier="{KEY}"' in packet


def test_another_mark_replaces_the_first() -> None:
    for kind in ("png", "webp"):
        image, encoding = picture(kind)
        twice = mark_picture(mark_picture(image, encoding, Mark("old", "k")), encoding, MARK)
        assert twice == mark_picture(image, encoding, MARK)


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    image, encoding = picture("png")
    marked = mark_picture(image, encoding, Mark("a\x01b\ud800", "\x00"))
    assert read_mark(marked) == Mark("a\ufffdb\ufffd", "\ufffd")


def test_metadata_of_others_stays() -> None:
    for kind in ("png", "webp"):
        image, encoding = picture(kind, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
        marked = mark_picture(image, encoding, MARK)
        assert read_mark(marked) == MARK
        with Image.open(io.BytesIO(marked)) as opened:
            assert opened.info["exif"]
        assert unmark_picture(marked, encoding) == image


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_marks_written_by_others_are_read(kind: str) -> None:
    """Tools that rewrite XMP use elements, and people convert pictures to JPEG."""
    packet = XMP.format(GENERATED).encode()
    if kind == "png":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet.decode())
        image, _ = picture(kind, pnginfo=texts)
    else:
        image, _ = picture(kind, xmp=packet)
    assert read_mark(image) == Mark("v7", None)


def test_a_png_with_the_texts_alone_is_marked() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("DigitalSourceType", GENERATED)
    texts.add_text("AssetKey", KEY)
    assert read_mark(picture("png", pnginfo=texts)[0]) == Mark(None, KEY)


@pytest.mark.parametrize(
    "packet",
    [
        XMP.format(GENERATED.replace("trainedAlgorithmicMedia", "digitalCapture")),
        '<!DOCTYPE x [<!ENTITY g "' + GENERATED + '">]>' + XMP.format("&g;"),
        XMP.format(GENERATED)[:-9],
        "",
        "\ufffd",
    ],
)
def test_no_mark_is_found_where_there_is_none(packet: str) -> None:
    assert read_mark(picture("webp", xmp=packet.encode())[0]) is None


@settings(deadline=None)
@given(st.sampled_from(["png", "webp"]), st.integers(0, 1 << 30))
def test_damaged_files_are_refused_or_read(kind: str, seed: int) -> None:
    image = bytearray(mark_picture(*picture(kind), MARK))
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 8)):
        image[chance.randrange(len(image))] = chance.randrange(256)
    damaged = bytes(image[: chance.randint(0, len(image))])
    fault, found = None, None
    try:
        found = read_mark(damaged)
    except ValueError as error:
        fault = str(error)
    assert found is None or isinstance(found, Mark)
    assert fault is None or re.match("this is no readable picture: .", fault)
