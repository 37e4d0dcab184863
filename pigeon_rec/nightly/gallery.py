"""The gallery: one night as one HTML page that needs nothing else, not even a network.

This module knows how the page looks in data and how pictures become data URIs; what is on the
page is gathered by `pigeon_rec.nightly.report`. All text goes through the template's escaping.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jinja2 import BaseLoader, Environment, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from pigeon_rec.data.aspect import SQUARE, Aspect
from pigeon_rec.nightly.charts import CHART_HEIGHT, CHART_WIDTH, Bar, Histogram

__all__ = [
    "Card",
    "Comparison",
    "Fact",
    "Page",
    "Picture",
    "Score",
    "UserRow",
    "Version",
    "Visual",
    "data_uri",
    "encode_picture",
    "render_gallery",
]

_TEMPLATE = "gallery.html.j2"
_MEDIA_TYPES: Mapping[str, str] = {"PNG": "image/png", "WEBP": "image/webp", "JPEG": "image/jpeg"}
_MAX_PIXELS = 4096 * 4096
_SHOWN_SIDE = 64


@dataclass(frozen=True)
class Picture:
    """One picture of the page.

    Attributes:
        uri: Data URI, or `None` where there is no picture that decodes: its alternative text
            is shown in its place.
        alt: Alternative text.
        label: Short label under the picture, such as the style; empty for none.
    """

    uri: str | None
    alt: str
    label: str = ""


@dataclass(frozen=True)
class Score:
    """One score as text and as a meter of `percent` (0 to 100)."""

    label: str
    text: str
    percent: float


@dataclass(frozen=True)
class Visual:
    """One personalised picture beside what it was made from."""

    title: str
    history: tuple[Picture, ...]
    reference: Picture
    made: Picture
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class UserRow:
    """One user; `taste` is the style that leads the history, empty where it is unknown."""

    user_id: str
    taste: str
    visuals: tuple[Visual, ...]


@dataclass(frozen=True)
class Version:
    """What one user sees in the place of a shared reference."""

    user_id: str
    taste: str
    made: Picture


@dataclass(frozen=True)
class Comparison:
    """One reference, a word on it, and the pictures that different users see in its place."""

    title: str
    note: str
    reference: Picture
    versions: tuple[Version, ...]


@dataclass(frozen=True)
class Card:
    """One number of the run summary."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Fact:
    """One line of a list: a name, where or whom it is about, and what there is to say."""

    name: str
    subject: str
    text: str


@dataclass(frozen=True)
class Page:
    """Everything on the gallery page of one night.

    `picture` is what people call one of the pictures; `aspect` is the proportions of all of them.
    """

    date: str
    model: str
    facts: tuple[tuple[str, str], ...]
    cards: tuple[Card, ...]
    histograms: tuple[Histogram, ...]
    reasons: tuple[Bar, ...]
    skips: tuple[Bar, ...]
    mask_ratios: tuple[Bar, ...]
    examples: tuple[Fact, ...]
    comparisons: tuple[Comparison, ...]
    users: tuple[UserRow, ...]
    users_left_out: int
    example_user: str
    picture: str = "picture"
    aspect: Aspect = SQUARE


def render_gallery(page: Page) -> str:
    """The page as one HTML document without a single external address."""
    source = resources.files("pigeon_rec.nightly") / "templates" / _TEMPLATE
    environment = Environment(
        loader=BaseLoader(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(
        page=page,
        frame=page.aspect.size(_SHOWN_SIDE),
        chart_width=CHART_WIDTH,
        chart_height=CHART_HEIGHT,
    )


def data_uri(encoded: bytes | None) -> str | None:
    """Encoded picture as a data URI; `None` where it is missing or does not decode.

    The media type is that of the bytes, not that of their file name or record.
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
    """Data URI of `uint8 [height, width, 3]` as lossless WebP."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "WEBP", lossless=True, quality=60, method=3)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
