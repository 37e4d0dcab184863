"""Recognises made posters: drawn substitutes for film posters, which cannot be shipped."""

from __future__ import annotations

import io

from PIL import Image

__all__ = ["MADE", "MADE_FIELD", "is_made"]

MADE = "made poster"
"""The style of made posters in a catalogue, and the text in their PNG files."""

MADE_FIELD = "Comment"
"""The PNG text field that holds `MADE`."""


def is_made(data: bytes) -> bool:
    """Whether an encoded picture is a made poster; False for anything but a readable PNG."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return str(image.info.get(MADE_FIELD, "")) == MADE
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
