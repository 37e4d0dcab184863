"""The machine-readable mark of a generated picture: IPTC and XMP metadata inside the file.

The mark is added to the file's bytes as chunks of their own, so removing it gives the drawn picture
back, byte by byte.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from xml.etree import ElementTree as Xml
from xml.sax.saxutils import escape

from PIL import Image

from pigeon_rec.warehouse._containers import with_metadata, without_metadata

__all__ = ["GENERATED", "SOURCE_TYPES", "Mark", "mark_picture", "read_mark", "unmark_picture"]

_VOCABULARY: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED: Final = f"{_VOCABULARY}trainedAlgorithmicMedia"
"""The value of IPTC's DigitalSourceType for pictures made by a trained model."""

SOURCE_TYPES: Final = frozenset({GENERATED, f"{_VOCABULARY}compositeWithTrainedAlgorithmicMedia"})
"""The values that say that a trained model made at least a part of the picture."""

_SYSTEM: Final = "pigeon_rec"
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_DC: Final = "http://purl.org/dc/elements/1.1/"
_META: Final = "adobe:ns:meta/"
_PREFIXES: Final = {"rdf": _RDF, "Iptc4xmpExt": _IPTC, "dc": _DC, "x": _META}

_TEXTS: Final = ("DigitalSourceType", "ModelVersion", "AssetKey")
_PLACE: Final = "asset_key"
_ESCAPED: Final = {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#09;"}
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""


@dataclass(frozen=True)
class Mark:
    """What a mark says; None where a mark of another product does not say it."""

    model_version: str | None
    asset_key: str | None
    source_type: str = GENERATED


def mark_picture(image: bytes, encoding: str, mark: Mark) -> bytes:
    """Returns the file with the mark as XMP and, in a PNG, as text chunks; an earlier one is gone.

    Args:
        image: A sound PNG or WebP file.
        encoding: `png` or `webp`.
        mark: The mark; characters that XML cannot hold become U+FFFD.
    """
    version, key = (
        _UNWRITABLE.sub("\ufffd", v or "") for v in (mark.model_version, mark.asset_key)
    )
    texts = dict(zip(_TEXTS, (mark.source_type, version, key), strict=True))
    packet = _packet(mark.source_type, version, key)
    return with_metadata(unmark_picture(image, encoding), encoding, packet, texts)


def unmark_picture(image: bytes, encoding: str) -> bytes:
    """Returns the picture as it was drawn, without mark and signature.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        return without_metadata(image, encoding, _TEXTS)
    except IndexError as error:
        raise ValueError(f"this is no {encoding} file") from error


def read_mark(image: bytes) -> Mark | None:
    """Returns the mark in a picture file of any format; None if there is none.

    Raises:
        ValueError: The file is no readable picture.
    """
    try:
        with Image.open(io.BytesIO(image)) as picture:
            picture.load()  # chunks may follow the pixels
            info = dict(picture.info)
    except Exception as error:  # a hostile file may make Pillow raise anything
        raise ValueError(f"this is no readable picture: {error}") from error
    for found in (_from_packet(info.get("xmp")), _from_texts(info)):
        if found is not None and found.source_type in SOURCE_TYPES:
            return found
    return None


def _packet(source_type: str, version: str, key: str) -> bytes:
    before, after = _packet_around(source_type, version)
    return f"{before}{escape(key, _ESCAPED)}{after}".encode()


@lru_cache(maxsize=16)
def _packet_around(source_type: str, version: str) -> tuple[str, str]:
    """Returns a packet before and after the key: that of most pictures differs in nothing else."""
    for prefix, address in _PREFIXES.items():
        Xml.register_namespace(prefix, address)
    meta = Xml.Element(f"{{{_META}}}xmpmeta")
    rdf = Xml.SubElement(meta, f"{{{_RDF}}}RDF")
    properties = {
        f"{{{_RDF}}}about": "",
        f"{{{_IPTC}}}DigitalSourceType": source_type,
        f"{{{_IPTC}}}AISystemUsed": _SYSTEM,
        f"{{{_IPTC}}}AISystemVersionUsed": version,
        f"{{{_DC}}}identifier": _PLACE,
    }
    Xml.SubElement(rdf, f"{{{_RDF}}}Description", properties)
    head = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    packet = f'{head}{Xml.tostring(meta, "unicode")}\n<?xpacket end="r"?>'
    before, _, after = packet.rpartition(_PLACE)  # the key is the last of the properties
    return before, after


def _from_packet(packet: Any) -> Mark | None:
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else str(packet or "")
    if not text or "<!" in text:  # no XMP has declarations, and entities could grow without end
        return None
    try:
        tree = Xml.fromstring(text.strip("\0\ufeff \n"))  # noqa: S314
    except (Xml.ParseError, ValueError):
        return None
    found = dict(_properties(tree))
    source_type = found.get(f"{{{_IPTC}}}DigitalSourceType")
    version = found.get(f"{{{_IPTC}}}AISystemVersionUsed")
    key = found.get(f"{{{_DC}}}identifier")
    return Mark(version, key, source_type) if source_type else None


def _properties(tree: Xml.Element) -> Iterator[tuple[str, str]]:
    """Yields names and values; XMP allows each as an attribute and as an element."""
    for description in tree.iter(f"{{{_RDF}}}Description"):
        yield from description.attrib.items()
        yield from ((child.tag, child.text or "") for child in description)


def _from_texts(info: Mapping[Any, Any]) -> Mark | None:
    source_type, version, key = (str(info[n]) if n in info else None for n in _TEXTS)
    return Mark(version, key, source_type) if source_type else None
