"""Sets titles: the largest size that fits a box, in the manner of a style."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pigeon_rec.demo.posters.raster import HEIGHT, WIDTH, Mask

__all__ = ["Box", "Face", "set_text"]

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

_REFERENCE = 100  # font size that texts are measured at
_FACTOR = 4
_MOST_LINES = 4


@dataclass(frozen=True)
class Face:
    """A manner of setting type.

    Attributes:
        font: File of a font, without suffix.
        case: Capitals, small letters, or as the title is written.
        align: Where lines begin.
        stretch: Width of a letter over its normal width.
        tracking: Space between letters, as a share of the size.
        leading: Distance of lines, likewise.
        largest: Largest size in pixels.
    """

    font: str
    case: Literal["upper", "lower", "as written"] = "upper"
    align: Literal["left", "centre"] = "centre"
    stretch: float = 1.0
    tracking: float = 0.0
    leading: float = 1.0
    largest: float = 40.0


def set_text(
    text: str, face: Face, box: Box, *, anchor: Literal["top", "middle", "bottom"] = "middle"
) -> Mask:
    """Sets a text in a box; an empty text gives an empty mask."""
    cased = {"upper": text.upper(), "lower": text.lower()}.get(face.case, text)
    left, top, right, bottom = box
    lines, size = _fitted(cased, face, right - left, bottom - top)
    page = Image.new("L", (round(_FACTOR * (right - left) / face.stretch), _FACTOR * HEIGHT))
    if size:
        step, font = face.leading * size * _FACTOR, _font(face.font, round(size * _FACTOR))
        free = (bottom - top) * _FACTOR - step * len(lines)
        start = top * _FACTOR + free * {"top": 0.0, "middle": 0.5, "bottom": 1.0}[anchor]
        for number, line in enumerate(lines):
            _draw_line(page, line, font, face, start + step * (number + 0.5))
    whole = Image.new("L", (_FACTOR * WIDTH, _FACTOR * HEIGHT))
    width = round(_FACTOR * (right - left))
    whole.paste(
        page.resize((width, page.height), Image.Resampling.BILINEAR), (round(_FACTOR * left), 0)
    )
    return np.asarray(whole.reduce(_FACTOR), dtype=np.float32) / np.float32(255)


def _draw_line(
    page: Image.Image, line: str, font: ImageFont.FreeTypeFont, face: Face, y: float
) -> None:
    draw = ImageDraw.Draw(page)
    gap = face.tracking * font.size
    wide = font.getlength(line) + gap * (len(line) - 1)
    x = 0.0 if face.align == "left" else (page.width - wide) / 2
    if not gap:
        draw.text((x, y), line, font=font, fill=255, anchor="lm")
        return
    for letter in line:
        draw.text((x, y), letter, font=font, fill=255, anchor="lm")
        x += font.getlength(letter) + gap


def _fitted(text: str, face: Face, width: float, height: float) -> tuple[list[str], float]:
    """Lines and size of the largest setting that fits; no lines for an empty text."""
    words = text.split()
    best: tuple[list[str], float] = ([], 0.0)
    for count in range(1, min(_MOST_LINES, len(words)) + 1):
        lines = _broken(words, count, face)
        longest = max(_length(line, face) for line in lines)
        size = min(face.largest, width / longest, height / (len(lines) * face.leading))
        if size > best[1] * 1.02:
            best = (lines, size)
    return best


def _broken(words: list[str], count: int, face: Face) -> list[str]:
    """Breaks words into `count` lines of about the same length."""
    target = _length(" ".join(words), face) / count * 1.08
    lines, rest = [""], list(words)
    while rest:
        longer = f"{lines[-1]} {rest[0]}".strip()
        if lines[-1] and _length(longer, face) > target and len(lines) < count:
            lines.append("")
        else:
            lines[-1] = longer
            rest.pop(0)
    return lines


def _length(line: str, face: Face) -> float:
    """Length of a line at size 1."""
    letters = _font(face.font, _REFERENCE).getlength(line) / _REFERENCE
    return max(0.1, face.stretch * (letters + face.tracking * (len(line) - 1)))


@lru_cache(maxsize=256)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_fonts() / f"{name}.ttf"), max(1, size))


@lru_cache(maxsize=1)
def _fonts() -> Path:
    """The folder of the fonts that matplotlib, a dependency of this package, brings."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("matplotlib is not installed; its fonts set the titles")
    return Path(spec.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"
