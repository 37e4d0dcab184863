"""Made posters: simple pictures drawn from a film's title, genres and year, for tests and demos.

No film's artwork can be shipped with this package. A made poster says that it is one in its lowest
line, in a text field of its PNG file (`is_made`) and in the catalogue's column `style`. It shows
the motif of its first genre in that genre's colours, the second genre's motif behind it, and the
layout and saturation of its decade; the rest is random, seeded by title and year. The same film
always has the same poster.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from pigeon_rec.data.made_posters import MADE, MADE_FIELD
from pigeon_rec.demo.motifs import GENRE_MOTIFS, Colour, horizon

__all__ = ["MADE_SIZE", "draw_made_poster", "make_posters"]

MADE_SIZE = (160, 240)
"""Width and height in pixels."""

_GENRES = tuple(sorted(GENRE_MOTIFS))
_CAPTION = 11  # height of the lowest line in pixels


def make_posters(
    films: pl.DataFrame,
    folder: Path,
    *,
    on_film: Callable[[int, int], None] | None = None,
) -> int:
    """Draws `<item_id>.png` for every film, replacing existing files; returns their number.

    Args:
        films: `item_id, title, year, genres` of `read_movielens`, whose ids are safe file names.
        folder: Folder to write to.
        on_film: Called with the number of posters drawn, and their total.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = films.select("item_id", "title", "year", "genres").iter_rows()
    for done, (item_id, title, year, genres) in enumerate(rows, start=1):
        (folder / f"{item_id}.png").write_bytes(draw_made_poster(title, year, genres))
        if on_film is not None:
            on_film(done, films.height)
    return films.height


def draw_made_poster(title: str, year: int | None, genres: str) -> bytes:
    """Draws one made poster; returns the bytes of a PNG file.

    Args:
        title: Text on the poster, with or without the year.
        year: Year of the film; its decade decides the layout.
        genres: Separated by ", "; may be empty.
    """
    random = np.random.default_rng(_seed(f"{title}|{year}"))
    names = [name.strip().lower() for name in genres.split(",") if name.strip()] or ["film"]
    first, second = names[0], names[min(1, len(names) - 1)]
    decade = ((year or 2000) // 10) % 10
    ground, main, light = _colours(first, second, year or 2000, random)
    image = Image.new("RGB", MADE_SIZE, ground)
    draw = ImageDraw.Draw(image)
    faint = _mixed(ground, main, 0.35)
    if second != first:
        GENRE_MOTIFS.get(second, horizon)(draw, *MADE_SIZE, random, faint, faint)
    GENRE_MOTIFS.get(first, horizon)(draw, *MADE_SIZE, random, main, light)
    _lettering(draw, title, decade, ground, light)
    return _encoded(image)


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _colours(
    first: str, second: str, year: int, random: np.random.Generator
) -> tuple[Colour, Colour, Colour]:
    """Ground, main and light colour: hues of the two genres, less saturated for older films."""
    depth = min(1.0, max(0.25, (year - 1920) / 70))
    hues = [_hue(name) + random.uniform(-0.04, 0.04) for name in (first, second)]
    dark = random.random() < 0.5
    ground = _rgb(hues[0], 0.55 * depth, 0.22 if dark else 0.88)
    main = _rgb(hues[0], 0.9 * depth, 0.65 if dark else 0.5)
    light = _rgb(hues[1] + 0.45, 0.7 * depth, 0.95 if dark else 0.3)
    return ground, main, light


def _hue(genre: str) -> float:
    index = _GENRES.index(genre) if genre in _GENRES else len(_GENRES)
    return index / (len(_GENRES) + 1)


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (
        round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    )
    return red, green, blue


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _lettering(
    draw: ImageDraw.ImageDraw, title: str, decade: int, ground: Colour, light: Colour
) -> None:
    """Draws the title on a band (top, bottom or middle, by decade) and a frame in even decades."""
    width, height = MADE_SIZE
    lines = textwrap.wrap(title, 15)[:4] or [""]
    font = ImageFont.load_default(16)
    band = 20 * len(lines) + 8
    top = (8, height - _CAPTION - 6 - band, (height - band) // 2)[decade % 3]
    draw.rectangle((0, top, width, top + band), fill=ground)
    for number, line in enumerate(lines):
        middle = (width // 2, top + 14 + 20 * number)
        draw.text(middle, line, font=font, fill=light, anchor="mm")
    if decade % 2 == 0:
        draw.rectangle((3, 3, width - 4, height - _CAPTION - 4), outline=light, width=2)
    draw.rectangle((0, height - _CAPTION, width, height), fill=(0, 0, 0))
    centre = (width // 2, height - _CAPTION // 2)
    small = ImageFont.load_default(9)
    draw.text(centre, MADE.upper(), font=small, fill=(255, 255, 255), anchor="mm")


def _encoded(image: Image.Image) -> bytes:
    facts = PngImagePlugin.PngInfo()
    facts.add_text(MADE_FIELD, MADE)
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=facts)
    return stream.getvalue()
