"""Recognises made posters: drawn substitutes for film posters, which cannot be shipped."""

from __future__ import annotations

import io

from PIL import Image

__all__ = ["MADE", "MADE_FIELD", "STYLE_FIELD", "catalogue_style", "is_made", "made_style"]

MADE = "made poster"
"""The text in the PNG files of made posters, and in their lowest line."""

MADE_FIELD = "Comment"
"""The PNG text field that holds `MADE`."""

STYLE_FIELD = "Style"
"""The PNG text field that holds the design style."""


def catalogue_style(style: str) -> str:
    """What a catalogue's column `style` holds for made posters of a design style: `made-noir`."""
    return f"made-{style}"


def is_made(data: bytes) -> bool:
    """Whether an encoded picture is a made poster; False for anything but a readable PNG."""
    return made_style(data) is not None


def made_style(data: bytes) -> str | None:
    """The catalogue's style of an encoded made poster; `None` for any other picture."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if str(image.info.get(MADE_FIELD, "")) != MADE:
                return None
            return catalogue_style(str(image.info.get(STYLE_FIELD, "poster")))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
